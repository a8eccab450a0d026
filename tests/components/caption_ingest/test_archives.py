"""Which archive has an image that is missing, and what bounds the search for it."""

import io
import tarfile
import zipfile

import pytest

from components.caption_ingest import archives
from components.caption_ingest.archives import find_packed, way_out
from tests.factories import write_data_set

MEMBERS = ("images/a.jpg", "images/b.jpg", "__MACOSX/images/._c.jpg", "images/notes.txt")


def pack(path, members=MEMBERS, size=3):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in members:
                archive.writestr(name, bytes(size))
        return
    suffix = path.name.rpartition(".")[2]
    with tarfile.open(path, f"w:{ {'tar': '', 'tgz': 'gz'}.get(suffix, suffix) }") as archive:
        for name in members:
            header = tarfile.TarInfo(name)
            header.size = size
            archive.addfile(header, io.BytesIO(bytes(size)))


@pytest.mark.parametrize("name", ["my images.zip", "x.tar", "x.tar.gz", "x.tgz", "x.tar.bz2", "x.tar.xz"])
def test_the_archive_of_a_missing_image_is_named(tmp_path, read, name):
    lines = "".join(f"{image}#0\tA dog\n" for image in ("a.jpg", "train/B", "c.jpg", "notes.jpg"))
    write_data_set(tmp_path, lines)
    pack(tmp_path / name)
    details = {reject.image_id: reject.detail for reject in read(tmp_path).rejects}
    expected = f"no such file in the data directory; {name} has it: {way_out(name)}"
    assert details["a.jpg"] == details["train/B"] == expected
    assert details["c.jpg"] == details["notes.jpg"] == "no such file in the data directory"


def test_an_archive_that_can_not_be_listed_is_named_by_its_name(tmp_path):
    (tmp_path / "images.7z").write_bytes(b"")
    hints = find_packed(str(tmp_path), ["images.7z", "a.gz", "b.jpg"], ["a.jpg"])
    assert hints == {"a.jpg": "perhaps images.7z has it: unpack it, as with 7z x images.7z"}


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.xz"])
def test_a_damaged_archive_is_no_error(tmp_path, caplog, suffix):
    path = tmp_path / f"x{suffix}"
    pack(path, size=2000)
    whole = path.read_bytes()
    for data in (b"", whole[: len(whole) // 3], whole[:100] + b"x" * 50 + whole[150:], whole[:-3]):
        path.write_bytes(data)
        assert find_packed(str(tmp_path), [path.name], ["a.jpg"]).keys() <= {"a.jpg"}
    assert f"can't list all of {path.name}" in caplog.text


def test_archives_members_and_bytes_are_bounded(tmp_path, monkeypatch):
    for number in range(3):
        pack(tmp_path / f"{number}.zip", [f"{number}{letter}.jpg" for letter in "ab"])
    pack(tmp_path / "x.tar.gz", ["zero.jpg", "bomb.bin", "behind.jpg"], size=10_000)
    monkeypatch.setattr(archives, "MAX_ARCHIVES", 2)
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    found = find_packed(str(tmp_path), ["0.zip", "1.zip", "2.zip"], ["0a.jpg", "0b.jpg", "1a.jpg", "2a.jpg"])
    assert found.keys() == {"0a.jpg", "1a.jpg"}
    monkeypatch.setattr(archives, "MAX_MEMBERS", 100)
    monkeypatch.setattr(archives, "MAX_LISTING", 12_000)
    assert find_packed(str(tmp_path), ["x.tar.gz"], ["zero.jpg", "behind.jpg"]).keys() == {"zero.jpg"}
    monkeypatch.setattr(archives, "MAX_LISTING", 10)
    assert find_packed(str(tmp_path), ["0.zip"], ["0a.jpg"]) == {}


def test_no_archive_is_opened_while_no_image_is_missing(tmp_path, read, monkeypatch):
    write_data_set(tmp_path, "a.jpg#0\tA dog\n")
    (tmp_path / "a.jpg").write_bytes(b"")
    pack(tmp_path / "x.zip")
    monkeypatch.setattr(archives, "_listing", lambda path: pytest.fail("listed"))
    assert len(read(tmp_path).images) == 1


def test_an_archive_in_place_of_captions_is_named(tmp_path, read):
    pack(tmp_path / "Flickr8k_text.zip", ["Flickr8k.token.txt"])
    expected = r"Flickr8k_text\.zip: an archive, which is not read; unpack it, as with unzip"
    with pytest.raises(FileNotFoundError, match=expected):
        read(tmp_path)
