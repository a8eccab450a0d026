"""What the first bytes of a file say: which format it has, whether it is cut off, and what it is if it is no image."""

import re
from collections.abc import Iterator

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
_JP2, _J2K = b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"
_PILLOW = (b"RIFF", b"BM", *_TIFF, _JP2, _J2K)  # with AVIF, what TensorFlow does not decode, or not in all versions
_JPEG = b"\xff\xd8\xff"
_JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of SOF; the three are tables and a reserved one
_JPEG_AFTER_SIZE = (0xD9, 0xDA)  # the end, and the beginning of a scan
_MIN_HEADERS = {b"\x89PNG\r\n\x1a\n": 33, b"GIF8": 13, b"BM": 26}  # first bytes -> bytes up to the size at least
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_HEAD = 1024  # bytes that are searched for the beginning of a document
_MAX_BOXES = 100

LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # how one of Git LFS begins
# what is found in place of an image -> its first bytes
_OTHERS: dict[str, tuple[bytes, ...]] = {
    "a Git LFS pointer and not the image: fetch it with git lfs pull": (LFS_POINTER,),
    "a Windows shortcut and not the file that it points to": (b"L\0\0\0\x01\x14\x02\0",),
    "a macOS alias and not the file that it points to": (b"book\0\0\0\0mark",),
    "macOS's notes on a file and not the file (AppleDouble)": (b"\0\x05\x16\x07", b"\0\x05\x16\0"),
    "an archive: unpack it": (
        b"PK\x03\x04",
        b"\x1f\x8b",
        b"7z\xbc\xaf\x27\x1c",
        b"Rar!\x1a\x07",
        b"BZh",
        b"\xfd7zXZ\0",
    ),
    "a PDF document: convert its page to PNG": (b"%PDF-",),
    "a Photoshop document: export it as PNG": (b"8BPS",),
    "a NumPy array and not an image": (b"\x93NUMPY",),
}
# the same of text, in lower case and after white space, comments and the declaration of XML
_DOCUMENTS: dict[str, tuple[bytes, ...]] = {
    "an SVG, a drawing without pixels: convert it to PNG": (b"<svg", b"<!doctype svg"),
    "an HTML page, as servers send it in place of an image: download the image again": (
        *(b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<meta", b"<title"),
    ),
    "an XML document, perhaps a server's error: download the image again": (b"<",),
    "a JSON document, perhaps a server's error: download the image again": (b"{", b"["),
}
_PROLOG = re.compile(rb"(?:\xef\xbb\xbf|\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)


def is_converted(data: bytes) -> bool:
    """Whether an image, if it is one, is of a format that becomes PNG for TensorFlow."""
    return data.startswith(_PILLOW) or _brand(data) is not None


def is_tiff(data: bytes) -> bool:
    """Whether the bytes begin as a TIFF does."""
    return data.startswith(_TIFF)


def lookalike(data: bytes) -> str:
    """Says what a file is that is no image of a known format; "" if that is not known.

    >>> lookalike(b"<!DOCTYPE html><title>404</title>")
    'an HTML page, as servers send it in place of an image: download the image again'
    """
    if not data:
        return "an empty file: download or copy it again"
    if not data.strip(b"\0"):
        return "nothing but zero bytes, as an interrupted copy leaves them: copy it again"
    if _brand(data) in _HEIC_BRANDS:
        return "HEIC, which is not read: convert it to JPEG, as with heif-convert or ImageMagick"
    document = _PROLOG.sub(b"", data[:_HEAD], count=1).lower()
    for start, kinds in ((data, _OTHERS), (document, _DOCUMENTS)):
        for kind, signatures in kinds.items():
            if start.startswith(signatures):
                return kind
    return ""


def is_cut(data: bytes) -> bool:
    """Whether a file ends before what its own header declares, where decoders do not say so."""
    if data.startswith(b"RIFF"):  # WebP
        return 8 + int.from_bytes(data[4:8], "little") > len(data)
    if data.startswith(_TIFF[:2]):
        return int.from_bytes(data[4:8], "little" if data.startswith(b"II") else "big") + 2 > len(data)
    if data.startswith(_TIFF[2:]):
        return int.from_bytes(data[8:16], "little" if data.startswith(b"II") else "big") + 8 > len(data)
    if data.startswith(_J2K):
        return not data.endswith(b"\xff\xd9")
    if data.startswith(_JP2) or _brand(data) is not None:
        return any(end > len(data) for end in _box_ends(data))
    if data.startswith(_JPEG):
        return _is_jpeg_header_cut(data)
    return any(data.startswith(start) and len(data) < size for start, size in _MIN_HEADERS.items())


def _is_jpeg_header_cut(data: bytes) -> bool:
    """Whether a JPEG ends before the segment that declares its size (SOF); a damaged header is not cut."""
    position = 2
    while position + 2 <= len(data):
        marker, kind = data[position : position + 2]
        if marker != 0xFF or kind in _JPEG_AFTER_SIZE:
            return False
        if kind == 0xFF:  # filling
            position += 1
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if kind in _JPEG_SIZES:
            return position > len(data)
    return len(data) > len(_JPEG)  # these alone are as likely something else


def _brand(data: bytes) -> bytes | None:
    """The brand of a file in ISO's base media format (AVIF, HEIC, videos)."""
    return data[8:12] if data[4:8] == b"ftyp" else None


def _box_ends(data: bytes) -> Iterator[int]:
    """Yields the end that each box of JPEG 2000, AVIF or HEIC declares, up to the first that lasts to the end."""
    position = 0
    for _ in range(_MAX_BOXES):
        size = int.from_bytes(data[position : position + 4], "big")
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        if size < 8 or position >= len(data):
            return
        position += size
        yield position
