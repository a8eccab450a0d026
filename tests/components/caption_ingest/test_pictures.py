import hashlib
import json
import os

import apache_beam as beam
import pytest

from components import images
from components.caption_ingest import pictures
from components.caption_ingest.pictures import (
    Inspected,
    PictureFile,
    PictureMemory,
    inspect_files,
    inspect_unknown,
    scan,
)
from tests.material import encode


def add(directory, name, data):
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return scan(str(directory))[name]


def test_scan_finds_by_path_and_by_name(tmp_path):
    file = add(tmp_path, "some/folder/a.jpg", b"12345")
    stat = (tmp_path / "some/folder/a.jpg").stat()
    assert file == PictureFile("some/folder/a.jpg", 5, stat.st_mtime_ns)
    assert scan(str(tmp_path))["a.jpg"] == file


def test_scan_of_equal_names_is_deterministic_and_hidden_files_do_not_count(tmp_path):
    for folder in ("b", "a", "c"):
        add(tmp_path, f"{folder}/x.jpg", folder.encode())
    (tmp_path / ".hidden.jpg").write_bytes(b"")
    found = scan(str(tmp_path))
    assert found["x.jpg"].uri == "a/x.jpg"
    assert ".hidden.jpg" not in found


def test_links_out_of_the_directory_are_marked(tmp_path):
    root, outside = tmp_path / "data", tmp_path / "outside"
    add(root, "inside.jpg", b"1")
    add(outside, "secret.jpg", b"2")
    (root / "file.jpg").symlink_to(outside / "secret.jpg")
    (root / "folder").symlink_to(outside)
    (root / "harmless.jpg").symlink_to(root / "inside.jpg")
    (root / "loop").symlink_to(root)
    found = scan(str(root))
    assert {name: found[name].outside for name in ("inside.jpg", "file.jpg", "folder/secret.jpg", "harmless.jpg")} == {
        "inside.jpg": False,
        "file.jpg": True,
        "folder/secret.jpg": True,
        "harmless.jpg": False,
    }


def test_names_that_are_not_utf_8_are_left_out_with_a_warning(tmp_path, caplog):
    file = add(tmp_path, "a.jpg", b"1")
    add(tmp_path, "ü.jpg", b"2")
    for path in (b"b\xe9.jpg", b"caf\xe9/c.jpg"):
        path = tmp_path / os.fsdecode(path)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"3")
    found = scan(str(tmp_path))
    assert set(found) == {"a.jpg", "ü.jpg"} and found["a.jpg"] == file
    assert "b\\xe9.jpg" in caplog.text and "caf\\xe9" in caplog.text


def test_files_are_inspected_each_for_itself(tmp_path, picture):
    data, wide = encode(picture), encode(picture.resize((90, 30)), "PNG")
    files = [
        add(tmp_path, "a.jpg", data),
        add(tmp_path, "b.jpg", data[:-40]),
        PictureFile("gone.jpg", 1, 1),
        add(tmp_path, "c.jpg", wide),
    ]
    sound, cut, gone, last = inspect_files(str(tmp_path), files)
    assert sound == Inspected(hashlib.sha256(data).hexdigest(), 40, 30)
    assert (cut.fault, gone) == ("truncated", None)
    assert last == Inspected(hashlib.sha256(wide).hexdigest(), 90, 30)
    assert inspect_files(str(tmp_path), []) == []


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 10)
    [found] = inspect_files(str(tmp_path), [PictureFile("not there.jpg", 11, 1)])
    assert (found.fault, found.detail) == ("too_large", "11 bytes")


def test_the_memory_knows_by_path_size_and_time(tmp_path):
    file = PictureFile("a.jpg", 5, 1)
    PictureMemory(str(tmp_path), "/data").add([(file, Inspected("sha", 4, 3))])
    memory = PictureMemory(str(tmp_path), "/data")
    memory.load()
    assert memory.get(file) == Inspected("sha", 4, 3)
    assert memory.get(PictureFile("a.jpg", 6, 1)) is None
    assert memory.get(PictureFile("a.jpg", 5, 2)) is None
    elsewhere = PictureMemory(str(tmp_path), "/other")
    elsewhere.load()
    assert elsewhere.get(file) is None


@pytest.fixture
def inspected(monkeypatch):
    """Notes which pictures are opened."""
    opened = []
    real = inspect_files

    def inspect(root, files):
        opened.extend(file.uri for file in files)
        return real(root, files)

    monkeypatch.setattr(pictures, "inspect_files", inspect)
    return opened


def test_each_picture_is_decoded_once(tmp_path, picture, inspected, monkeypatch):
    monkeypatch.setattr(pictures, "CHUNK", 2)
    root, store = tmp_path / "data", tmp_path / "memory"
    files = [add(root, f"{number}.jpg", encode(picture.rotate(number))) for number in range(3)]
    memory = PictureMemory(str(store), str(root))
    inspect_unknown(files, memory, str(root), beam.Pipeline)
    assert sorted(inspected) == ["0.jpg", "1.jpg", "2.jpg"]
    assert all(memory.get(file).width == 40 for file in files)

    inspected.clear()
    os.utime(root / "1.jpg", ns=(7, 7))
    again = PictureMemory(str(store), str(root))
    again.load()
    files = [scan(str(root))[file.uri] for file in files]
    inspect_unknown([*files, add(root, "new.jpg", b"no picture")], again, str(root), beam.Pipeline)
    assert sorted(inspected) == ["1.jpg", "new.jpg"]


def test_what_could_not_be_read_is_not_remembered(tmp_path, inspected):
    gone = PictureFile("gone.jpg", 1, 1)
    memory = PictureMemory(str(tmp_path), str(tmp_path))
    inspect_unknown([gone], memory, str(tmp_path), beam.Pipeline)
    assert memory.get(gone) is None


def test_the_memory_is_plain_json(tmp_path):
    PictureMemory(str(tmp_path), "/data").add([(PictureFile("ü.jpg", 5, 1), Inspected("sha", 4, 3))])
    [file] = tmp_path.iterdir()
    assert json.loads(file.read_text()) == [["/data/ü.jpg", 5, 1, "sha", 4, 3, "", ""]]


def test_calls_hold_few_files_and_few_bytes():
    small, large = PictureFile("s", 1000, 1), PictureFile("l", 5 * 2**20, 1)
    calls = pictures.split_by_size([small] * 20 + [large, large, small, PictureFile("h", 2**30, 1)])
    assert [len(call) for call in calls] == [16, 5, 2, 1]
    assert pictures.split_by_size([]) == []
