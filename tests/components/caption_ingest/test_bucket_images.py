"""Images of a bucket: read and decoded once, and what happens when the bucket fails meanwhile."""

import pathlib

import apache_beam as beam
import pytest
import tenacity
import tensorflow as tf

from components.caption_ingest import dataset
from components.caption_ingest.dataset import DataSet
from components.caption_ingest.ingest import Directories, Result, ingest
from components.caption_ingest.rejects import Reason
from components.caption_ingest.settings import CaptionIngestSettings
from components.shared import object_store, records, storage
from components.shared.object_store import StorageAccessError, StorageUnavailableError
from tests.factories import encode, write_data_set

NUM_IMAGES = 12


@pytest.fixture
def data_dir(tmp_path, image) -> pathlib.Path:
    """A data directory of different images, one of which is damaged."""
    root = tmp_path / "data"
    names = [f"{number}.png" for number in range(NUM_IMAGES)]
    lists = {"train": names[:6], "dev": names[6:9], "test": names[9:]}
    write_data_set(root, "".join(f"{name}#0\tA dog says {name[:-4]}\n" for name in names), lists)
    (root / "images").mkdir()
    for number, name in enumerate(names):
        (root / "images" / name).write_bytes(encode(image.rotate(number), "PNG"))
    (root / "images" / "3.png").write_bytes(b"no image")
    return root


@pytest.fixture
def data_uri(data_dir, bucket) -> str:
    """The same in a bucket."""
    for path in data_dir.rglob("*"):
        if path.is_file():
            storage.write_bytes(f"{bucket}/data/{path.relative_to(data_dir).as_posix()}", path.read_bytes())
    return f"{bucket}/data"


@pytest.fixture
def run(tmp_path):
    """Ingests a data directory; its inspections lie at a place that later calls read."""

    def run_ingest(location: str, cache: str = "", data: DataSet | None = None) -> Result:
        settings = CaptionIngestSettings(dir=str(location), max_reject_fraction=1)
        directories = Directories(
            cache or str(tmp_path / "cache"), str(tmp_path / "examples"), str(tmp_path / "rejects")
        )
        return ingest(data or dataset.read(settings), settings, directories, beam.Pipeline)

    return run_ingest


def test_a_bucket_gives_the_same_records_as_a_disk(tmp_path, data_dir, data_uri, run):
    written = []
    for location in (data_dir, data_uri):
        result = run(location)
        assert (len(result.images), len(result.rejects)) == (NUM_IMAGES - 1, 1)
        files = sorted(map(str, (tmp_path / "examples").rglob("*.gz")))
        examples = list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())
        written.append((files, examples, (tmp_path / "rejects" / records.REJECTS_FILE).read_text()))
    assert written[0] == written[1] and len(written[0][1]) == NUM_IMAGES - 1


def test_only_new_images_are_read(bucket, data_uri, run, relayed, image):
    cache = f"{bucket}/captions/store/images/1"
    run(data_uri, cache)
    run(data_uri, cache)
    relayed.read()
    run(data_uri, cache)
    assert not any("data/" in path for path in relayed.read())
    captions = storage.read_text(f"{data_uri}/captions.token.txt")
    for number in range(50):
        captions += f"new{number}.png#0\tA new dog\n"
        storage.write_bytes(f"{data_uri}/images/new{number}.png", encode(image.rotate(100 + number), "PNG"))
    storage.write_text(f"{data_uri}/captions.token.txt", captions)
    relayed.read()
    assert len(run(data_uri, cache).images) == NUM_IMAGES - 1 + 50
    read = [path for path in relayed.read() if path.startswith("data/")]
    # the directory of the images is asked for, as it might be a container
    assert sorted(set(read) - {"data/images"}) == sorted(
        ["data/captions.token.txt", *(f"data/images/new{number}.png" for number in range(50))]
    )
    assert len([path for path in read if path.endswith(".png")]) == 50


def test_an_image_that_vanishes_after_it_was_listed_is_a_reject(data_uri, run):
    data = dataset.read(CaptionIngestSettings(dir=data_uri))
    storage.remove(f"{data_uri}/images/5.png")
    result = run(data_uri, data=data)
    assert [(reject.image_id, reject.reason) for reject in result.rejects] == [
        ("3.png", Reason.UNDECODABLE),
        ("5.png", Reason.UNREADABLE_IMAGE),
    ]
    assert result.unread == ["images/5.png"]


def test_an_image_that_changes_after_it_was_listed_is_not_remembered(data_uri, run, image):
    data = dataset.read(CaptionIngestSettings(dir=data_uri))
    size = next(image.file.size for image in data.images if image.image_id == "5.png")
    storage.write_bytes(f"{data_uri}/images/5.png", bytes(size))
    assert run(data_uri, data=data).unread == ["images/5.png"]
    assert run(data_uri).unread == []


def test_versions_that_are_no_md5_are_asked_for(data_uri, run, relayed, monkeypatch):
    stat, list_tree = object_store._entry, object_store.list_tree

    def other_etag(info):
        entry = stat(info)
        return entry.__class__(entry.name, entry.size, entry.mtime, entry.is_directory, f"{entry.version}-2")

    monkeypatch.setattr(object_store, "_entry", other_etag)
    assert list_tree(data_uri)["images/1.png"].version.endswith("-2")
    assert run(data_uri).unread == []
    assert ("HEAD", "data/images/1.png") in relayed.requests


def test_a_throttled_bucket_is_asked_again(data_uri, run, relayed, monkeypatch):
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda seconds: None)
    refused: set[str] = set()

    def throttle_each_image_once(method, path):
        if path.endswith(".png") and path not in refused:
            refused.add(path)
            return 503
        return None

    relayed.fault = throttle_each_image_once
    assert len(run(data_uri).images) == NUM_IMAGES - 1
    assert len(refused) == NUM_IMAGES


@pytest.mark.parametrize("status, error", [(503, StorageUnavailableError), (403, StorageAccessError)])
def test_a_bucket_that_fails_for_good_is_an_error_and_no_reject(data_uri, run, relayed, monkeypatch, status, error):
    monkeypatch.setattr(object_store, "RETRY_SECONDS", 0)
    relayed.fault = lambda method, path: status if path.endswith(".png") else None
    with pytest.raises(error, match=f"{data_uri}/images/[0-9]*.png: "):
        run(data_uri)


def test_inspections_in_a_bucket_that_can_not_be_read_are_an_error(bucket, data_uri, run, relayed, monkeypatch):
    cache = f"{bucket}/captions/store/images/1"
    run(data_uri, cache)
    monkeypatch.setattr(object_store, "RETRY_SECONDS", 0)
    relayed.fault = lambda method, path: 503 if path.startswith("captions/") and path.endswith(".json") else None
    with pytest.raises(StorageUnavailableError, match=f"{cache}/.*.json: the object store fails"):
        run(data_uri, cache)
