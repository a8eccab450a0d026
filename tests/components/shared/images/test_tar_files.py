"""Where the members of an archive lie: as Python's tarfile finds them, and what is refused."""

import contextlib
import io
import tarfile

import pytest
from hypothesis import given, settings, strategies

from components.shared.images import tar_files
from components.shared.images.container_files import DamagedContainerError
from components.shared.images.tar_files import BLOCK, LINK, OUTSIDE, SPARSE, is_tar, walk
from tests.containers import write_tar

LONG = f"{'deep/' * 40}caf\N{LATIN SMALL LETTER E WITH ACUTE}.jpg"
FILES = [
    ("a.jpg", b"x" * 700),
    ("empty.txt", b""),
    (f"{'d' * 90}/{'e' * 60}.jpg", b"long"),
    (LONG, b"longer"),
    ("z", b"z"),
]


def members(path):
    with path.open("rb") as file:
        return list(walk(file))


@pytest.mark.parametrize("kind", ["GNU_FORMAT", "PAX_FORMAT"])
def test_members_are_those_that_tarfile_finds(tmp_path, kind):
    path = write_tar(tmp_path / "a.tar", FILES, getattr(tarfile, kind))
    with tarfile.open(path, "r:") as archive:
        expected = [(info.name, info.offset_data, info.size, "") for info in archive]
    assert [tuple(member) for member in members(path)] == expected
    assert is_tar(path.read_bytes()[:BLOCK])


def test_a_posix_archive_divides_long_names(tmp_path):
    path = write_tar(tmp_path / "a.tar", FILES[:3])
    assert [member.name for member in members(path)] == [name for name, _ in FILES[:3]]


def test_an_archive_without_magic_is_one(tmp_path):
    path = write_tar(tmp_path / "a.tar", FILES[:1])
    data = bytearray(path.read_bytes())
    data[257:265] = bytes(8)
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + 8 * 32 + sum(data[156:BLOCK]))
    assert is_tar(bytes(data[:BLOCK]))
    assert [member.size for member in walk(io.BytesIO(bytes(data)))] == [700]


@pytest.mark.parametrize("head", [b"", bytes(BLOCK), b"text " * 200, b"\xff\xd8\xff" + bytes(BLOCK)])
def test_other_files_are_no_archives(head):
    assert not is_tar(head)


def test_directories_are_passed_over_and_links_are_not_followed(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind, target in [
            ("./images", tarfile.DIRTYPE, ""),
            ("./images/a.jpg", tarfile.SYMTYPE, "/etc/passwd"),
            ("b.jpg", tarfile.LNKTYPE, "images/a.jpg"),
            ("tty", tarfile.CHRTYPE, ""),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
        archive.addfile(tarfile.TarInfo("../c.jpg"))
        archive.addfile(tarfile.TarInfo("/d.jpg"))
        archive.addfile(tarfile.TarInfo("./e.jpg"))
    assert [(member.name, member.fault) for member in members(path)] == [
        ("images/a.jpg", LINK),
        ("b.jpg", LINK),
        ("../c.jpg", OUTSIDE),
        ("/d.jpg", OUTSIDE),
        ("e.jpg", ""),
    ]


def test_sparse_files_are_named(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("GNUSparseFile.0/a.bmp")
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a.bmp"}
        archive.addfile(info)
        old = tarfile.TarInfo("old.bmp")
        old.type = tarfile.GNUTYPE_SPARSE
        archive.addfile(old)
        archive.addfile(tarfile.TarInfo("b.jpg"))
    assert [(member.name, member.fault) for member in members(path)] == [
        ("a.bmp", SPARSE),
        ("old.bmp", SPARSE),
        ("b.jpg", ""),
    ]


def test_a_size_may_be_binary(tmp_path):
    data = bytearray(write_tar(tmp_path / "a.tar", FILES[:1]).read_bytes())
    data[124:136] = b"\x80" + (700).to_bytes(11, "big")
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + 8 * 32 + sum(data[156:BLOCK]))
    assert [member.size for member in walk(io.BytesIO(bytes(data)))] == [700]


def corrupt(data: bytes, **changes: bytes) -> bytes:
    """Changes the first header; its checksum is right."""
    header = bytearray(data[:BLOCK])
    for field, value in changes.items():
        start = {"size": 124, "kind": 156}[field]
        header[start : start + len(value)] = value
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    return bytes(header) + data[BLOCK:]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:1200], r"cut at byte 1200, in a\.jpg"),
        (lambda data: data[: 3 * BLOCK + 100], "cut at byte 1636, in a header"),
        (lambda data: data[: 4 * BLOCK], "cut at byte 2048, in its end"),
        (
            lambda data: data[: 3 * BLOCK] + b"x" + data[3 * BLOCK + 1 :],
            "header at byte 1536 is damaged",
        ),
        (lambda data: data + data, "something follows its end"),
        (lambda data: corrupt(data, size=b"-0000000001"), "header at byte 0 is damaged"),
        (lambda data: corrupt(data, size=b"\xff" * 12), "header at byte 0 is damaged"),
        (lambda data: corrupt(data, size=b"77777777777\0"), r"cut at byte 10240, in a\.jpg"),
        (lambda data: corrupt(data, kind=b"x"), "header at byte 512 is damaged"),
    ],
)
def test_damage_is_named_and_its_place(tmp_path, damage, message):
    data = write_tar(tmp_path / "a.tar", FILES[:2]).read_bytes()
    with pytest.raises(DamagedContainerError, match=message):
        list(walk(io.BytesIO(damage(data))))


def test_an_extended_header_is_bounded(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "a.tar", FILES, tarfile.GNU_FORMAT)
    monkeypatch.setattr(tar_files, "MAX_EXTENSION", 100)
    with pytest.raises(DamagedContainerError, match=r"header at byte \d+ is damaged"):
        members(path)


def test_the_number_of_members_is_bounded(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "a.tar", FILES[:3])
    monkeypatch.setattr(tar_files, "MAX_MEMBERS", 2)
    with pytest.raises(DamagedContainerError, match="more than 2 members"):
        members(path)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    strategies.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    strategies.lists(strategies.tuples(strategies.integers(0, 6000), strategies.integers(0, 255)), max_size=8),
    strategies.none() | strategies.integers(0, 6000),
)
def test_no_damage_makes_a_member_lie_outside_its_archive(tmp_path_factory, kind, changes, length):
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    write_tar(path, FILES[:3] if kind == tarfile.USTAR_FORMAT else FILES, kind)
    data = bytearray(path.read_bytes())
    for position, value in changes:
        data[position] = value
    data = data[:length]
    with contextlib.suppress(DamagedContainerError):
        for member in walk(io.BytesIO(bytes(data))):
            assert 0 <= member.offset <= member.offset + member.size <= len(data)
            assert member.fault or ".." not in member.name.split("/")
