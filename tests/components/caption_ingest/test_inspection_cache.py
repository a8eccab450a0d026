"""Inspecting in Beam, and what is remembered of it."""

import json
import logging
import os
import pathlib
from collections.abc import Callable

import apache_beam as beam
import pytest

from components.caption_ingest import inspection_cache
from components.caption_ingest.files import scan
from components.caption_ingest.image_file import ImageFile
from components.caption_ingest.inspection import Inspection
from components.caption_ingest.inspection_cache import InspectionCache, inspect_files
from components.shared import storage
from components.shared.images.limits import MAX_BYTES
from tests.factories import encode


def test_an_image_is_identified_by_path_size_and_time(tmp_path):
    file = ImageFile("a.jpg", 5, 1)
    InspectionCache(str(tmp_path), "/data").add([(file, Inspection("sha", 4, 3))])
    cache = InspectionCache(str(tmp_path), "/data")
    cache.load()
    assert cache.get(file) == Inspection("sha", 4, 3)
    assert cache.get(ImageFile("a.jpg", 6, 1)) is None
    assert cache.get(ImageFile("a.jpg", 5, 2)) is None
    elsewhere = InspectionCache(str(tmp_path), "/other")
    elsewhere.load()
    assert elsewhere.get(file) is None


@pytest.fixture
def added(tmp_path) -> Callable[[], set[str]]:
    """Returns the names of the images that were added to the cache since the last call."""
    seen: set[pathlib.Path] = set()

    def names() -> set[str]:
        files = set((tmp_path / "cache").glob("*.json")) - seen
        seen.update(files)
        return {os.path.basename(row[0]) for file in files for row in json.loads(file.read_text())}

    return names


def test_each_image_is_inspected_once(tmp_path, image, added, monkeypatch):
    monkeypatch.setattr(inspection_cache, "CHUNK", 2)
    root, cache_dir = tmp_path / "data", str(tmp_path / "cache")
    root.mkdir()

    def inspect() -> dict[str, Inspection]:
        return inspect_files(list(scan(str(root)).by_path.values()), cache_dir, str(root), beam.Pipeline)

    for number in range(3):
        (root / f"{number}.jpg").write_bytes(encode(image.rotate(number)))
    inspections = inspect()
    assert added() == {"0.jpg", "1.jpg", "2.jpg"} == inspections.keys()
    assert all(inspection.width == 40 for inspection in inspections.values())

    os.utime(root / "1.jpg", ns=(7, 7))
    (root / "new.jpg").write_bytes(b"not an image")
    assert inspect()["new.jpg"].fault == "undecodable"
    assert added() == {"1.jpg", "new.jpg"}
    assert len(inspect()) == 4
    assert added() == set()


def test_a_file_that_is_too_large_is_not_read(tmp_path, added):
    large = ImageFile("missing.jpg", MAX_BYTES + 1, 1)
    inspections = inspect_files([large], str(tmp_path / "cache"), str(tmp_path), beam.Pipeline)
    assert inspections["missing.jpg"].fault == "too_large"
    assert added() == {"missing.jpg"}


def test_a_file_that_can_not_be_read_is_not_remembered(tmp_path, added):
    missing = ImageFile("gone.jpg", 1, 1)
    assert inspect_files([missing], str(tmp_path / "cache"), str(tmp_path), beam.Pipeline) == {}
    assert added() == set()


def test_the_cache_is_plain_json(tmp_path):
    InspectionCache(str(tmp_path), "/data").add([(ImageFile("ü.jpg", 5, 1), Inspection("sha", 4, 3))])
    [file] = tmp_path.iterdir()
    assert json.loads(file.read_text()) == [["/data/ü.jpg", 5, 1, "sha", 4, 3, "", "", True]]


@pytest.mark.parametrize("damage", [b"", b"[[", bytes(40), b"null", b'[["a"]]', b"[[[1], 2, 3]]", b"\xff\xfe"])
def test_damaged_inspections_are_made_again_with_a_warning(tmp_path, image, damage, caplog):
    root, cache_dir = tmp_path / "data", str(tmp_path / "cache")
    root.mkdir()
    (root / "a.jpg").write_bytes(encode(image))
    files = list(scan(str(root)).by_path.values())
    before = inspect_files(files, cache_dir, str(root), beam.Pipeline)
    [path] = (tmp_path / "cache").glob("*.json")
    content = path.read_bytes()
    path.write_bytes(damage)
    assert inspect_files(files, cache_dir, str(root), beam.Pipeline) == before
    assert f"{path} are damaged and deleted" in caplog.text
    assert path.read_bytes() == content


def test_a_file_that_changes_while_it_is_read_is_not_remembered(tmp_path, image, added, monkeypatch):
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(image))
    [file] = scan(str(tmp_path)).by_path.values()
    read_bytes = storage.read_bytes

    def change_then_read(name):
        path.write_bytes(encode(image.rotate(90)))  # after it was listed: the records would hold it as the old file
        os.utime(path, ns=(7, 7))
        return read_bytes(name)

    monkeypatch.setattr(storage, "read_bytes", change_then_read)
    assert inspect_files([file], str(tmp_path / "cache"), str(tmp_path), beam.Pipeline) == {}
    assert added() == set()


def test_progress_counts_the_images_of_all_workers(tmp_path, image, caplog, monkeypatch):
    monkeypatch.setattr("components.shared.progress.POLL_SECONDS", 0.01)
    monkeypatch.setattr(inspection_cache, "CHUNK", 2)
    caplog.set_level(logging.INFO, "captions.progress")
    for number in range(6):
        (tmp_path / f"{number}.jpg").write_bytes(encode(image.rotate(number)))
    files = list(scan(str(tmp_path)).by_path.values())
    inspect_files(files, str(tmp_path / "cache"), str(tmp_path), beam.Pipeline)
    reports = [record.getMessage() for record in caplog.records if record.name == "captions.progress"]
    assert reports[-1].startswith("6/6 images decoded, ")
