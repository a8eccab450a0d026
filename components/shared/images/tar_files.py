"""Tar archives that are read at random: where each member lies, found by walking the headers alone.

Python's `tarfile` takes twice as long per header, reads an extended header of any size, and takes a
damaged or missing header in the middle of an archive for its end: members would be lost without a word.
"""

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from components.shared.images.container_files import DamagedContainerError

BLOCK = 512  # bytes of a header; data is padded to a multiple of it
MAX_MEMBERS = 2_000_000  # of one archive, whose index is held in memory
MAX_EXTENSION = 2**20  # bytes of an extended header, which holds one name
_CHUNK = 2**20  # bytes that are read at a time behind the end of an archive
_FILES, _LINKS, _WITHOUT_DATA = b"07\0", b"12", b"123456"  # type flags
_LONG_NAME, _LONG_LINK, _SPARSE, _PAX, _PAX_GLOBAL = b"L", b"K", b"S", b"xX", b"g"
LINK, SPARSE, OUTSIDE = "a link, which is not followed", "a sparse file", "a path that leads out of the archive"


class TarMember(NamedTuple):
    """A file in an archive, or a link.

    Attributes:
      name: its path in the archive, without a leading `./`.
      offset: position of its first byte.
      size: size in bytes.
      fault: why it can't be read; "" if it can.
    """

    name: str
    offset: int
    size: int
    fault: str = ""


def is_tar(head: bytes) -> bool:
    """Whether a file that begins with these bytes, at least 512, is a tar archive.

    The checksum tells, since old archives lack the magic.
    """
    return len(head) >= BLOCK and bool(head[0]) and _has_checksum(head[:BLOCK])


def walk(file: BinaryIO) -> Iterator[TarMember]:
    """Yields the files and links of an archive in their order, from its headers alone.

    Args:
      file: the archive, seekable.

    Raises:
      DamagedContainerError: it is cut or damaged, a header has an absurd size, or something follows its end.
    """
    end = file.seek(0, os.SEEK_END)
    position = num_members = 0
    long_name, extension = "", dict[str, str]()
    while True:
        file.seek(position)
        header = file.read(BLOCK)
        if not header.strip(b"\0"):
            _check(len(header) == BLOCK, end, "its end")
            _check_end(file)
            return
        _check(len(header) == BLOCK, end, "a header")
        _check_header(_has_checksum(header), position)
        kind, size, start = header[156:157], _number(header[124:136], position), position + BLOCK
        if "size" in extension:
            size = _decimal(extension["size"], position)
        position = start if kind in _WITHOUT_DATA else start + -(-size // BLOCK) * BLOCK
        if kind not in _WITHOUT_DATA and start + size > end:
            _check(False, end, _name(header, long_name, extension))
        if kind in (_LONG_NAME, _LONG_LINK, _PAX_GLOBAL) or kind in _PAX:
            _check_header(size <= MAX_EXTENSION, start - BLOCK)
            if kind == _LONG_NAME:
                long_name = file.read(size).rstrip(b"\0").decode(errors="surrogateescape")
            elif kind in _PAX:
                extension = _records(file.read(size), start)
            continue
        num_members += 1
        if num_members > MAX_MEMBERS:
            raise DamagedContainerError(f"more than {MAX_MEMBERS} members, too many for one archive")
        name = _name(header, long_name, extension)
        if kind == _SPARSE:
            position += _sparse_headers(file, header) * BLOCK
        if (kind in _FILES or kind in _LINKS or kind == _SPARSE) and not name.endswith("/"):
            yield _member(name, kind, start, size, extension)
        long_name, extension = "", {}


def _member(name: str, kind: bytes, offset: int, size: int, extension: dict[str, str]) -> TarMember:
    name = name.removeprefix("./")
    if kind in _LINKS:
        return TarMember(name, offset, 0, LINK)
    if kind == _SPARSE or any(key.startswith("GNU.sparse") for key in extension):
        return TarMember(extension.get("GNU.sparse.name", name), offset, 0, SPARSE)
    if any(part in ("", ".", "..") for part in name.split("/")):
        return TarMember(name, offset, 0, OUTSIDE)
    return TarMember(name, offset, size)


def _check(is_whole: bool, end: int, name: str) -> None:
    """Refuses an archive that ends before what it is to have."""
    if not is_whole:
        raise DamagedContainerError(f"the archive is cut at byte {end}, in {ascii(name)[1:-1][:80]}")


def _check_header(is_sound: bool, position: int) -> None:
    """Refuses a header without its checksum, a size or a name."""
    if not is_sound:
        raise DamagedContainerError(f"the header at byte {position} is damaged")


def _check_end(file: BinaryIO) -> None:
    """Refuses what follows the end of an archive, such as a second one: it would be lost without a word."""
    while chunk := file.read(_CHUNK):
        if chunk.strip(b"\0"):
            raise DamagedContainerError("something follows its end; a second archive must be a file of its own")


def _has_checksum(header: bytes) -> bool:
    """Whether the bytes of a header sum up as it says; the eight of the sum itself count as blanks."""
    try:
        expected = int(header[148:156].split(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        return False
    return sum(header) - sum(header[148:156]) + 8 * ord(" ") == expected


def _number(field: bytes, position: int) -> int:
    """A size: octal digits, or, from 8 GiB on, a binary number behind the byte 128."""
    if field[0] & 0x80:
        _check_header(field[0] == 0x80, position)  # not negative
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0")[0].strip()
    _check_header(not digits.strip(b"01234567"), position)
    return int(digits or b"0", 8)


def _decimal(text: str, position: int) -> int:
    _check_header(text.isascii() and text.isdecimal() and len(text) < 20, position)
    return int(text)


def _name(header: bytes, long_name: str, extension: dict[str, str]) -> str:
    """A member's name: of an extended header before it, else of its own, where POSIX keeps the directory apart."""
    if name := extension.get("path") or long_name:
        return name
    name = _text(header, 0, 100)
    return f"{_text(header, 345, 500)}/{name}" if header[345] and header[257:263] == b"ustar\0" else name


def _text(header: bytes, start: int, end: int) -> str:
    """A text in a field, which a zero ends if it is shorter."""
    zero = header.find(b"\0", start, end)
    return header[start : end if zero < 0 else zero].decode(errors="surrogateescape")


def _records(data: bytes, position: int) -> dict[str, str]:
    r"""Reads the records of an extended header.

    >>> _records(b"16 path=a b.jpg\n", 0)
    {'path': 'a b.jpg'}
    """
    records = {}
    while data.strip(b"\0"):
        length, _, _ = data.partition(b" ")
        _check_header(length.isdigit() and len(length) < int(length[:9]) <= len(data), position)
        key, equals, value = data[len(length) + 1 : int(length)].rstrip(b"\n").partition(b"=")
        if equals:
            records[key.decode(errors="replace")] = value.decode(errors="surrogateescape")
        data = data[int(length) :]
    return records


def _sparse_headers(file: BinaryIO, header: bytes) -> int:
    """Number of the blocks with which the map of an old GNU sparse file goes on before its data."""
    number, is_extended = 0, header[482]
    while is_extended:
        block = file.read(BLOCK)
        _check(len(block) == BLOCK, file.tell(), "the map of a sparse file")
        number, is_extended = number + 1, block[504]
    return number
