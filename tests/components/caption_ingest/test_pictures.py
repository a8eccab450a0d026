import hashlib
import json
import os

import apache_beam as beam
import pytest

from components import images
from components.caption_ingest import pictures
from components.caption_ingest.files import PictureFile, scan
from components.caption_ingest.pictures import Inspected, PictureMemory, inspect_files, inspect_unknown
from tests.material import encode


def add(directory, name, data):
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return scan(str(directory)).by_path[name]


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
    files = [scan(str(root)).by_path[file.uri] for file in files]
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
