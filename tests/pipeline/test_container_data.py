"""The built-in sample gives the same examples and features as files, as WebDataset and as Parquet."""

import collections
import os
import pathlib
import shutil

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf

from components.caption_ingest import dataset, inspection_cache
from components.caption_ingest.ingest import Directories, ingest
from components.caption_ingest.settings import CaptionIngestSettings
from components.feature_extractor import extract
from components.feature_extractor.settings import FeatureExtractorSettings
from components.feature_extractor.store import FeatureStore
from components.shared import record_files, records
from components.shared.features import Manifest
from components.shared.images.ingested import ImageChangedError, IngestedImage, read_verified
from pipeline import sample_data
from tests.containers import hf_image, write_parquet, write_tar

NUM_IMAGES, SHARD = 20, 7
TINY = FeatureExtractorSettings("MobileNet", "random", 32)
NAMES = {"train": "train", "eval": "val", "test": "test"}  # of splits, in the names of shards


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> pathlib.Path:
    """The built-in sample, with a file per image."""
    directory = tmp_path_factory.mktemp("sample")
    sample_data.write(directory, NUM_IMAGES, seed=7)
    return directory


def read(directory: pathlib.Path) -> dataset.DataSet:
    return dataset.read(CaptionIngestSettings(dir=str(directory)))


def shards(directory: pathlib.Path):
    """Yields (name of a shard, its images, their contents) of the sample."""
    images = collections.defaultdict(list)
    for image in read(directory).images:
        images[NAMES[image.split]].append((image, (directory / image.file.uri).read_bytes()))
    for split, rows in images.items():
        for number, start in enumerate(range(0, len(rows), SHARD)):
            yield f"{split}-{number:05d}-of-{-(-len(rows) // SHARD):05d}", rows[start : start + SHARD]


def as_webdataset(sample: pathlib.Path, directory: pathlib.Path) -> None:
    for name, rows in shards(sample):
        members = []
        for image, data in rows:
            key = pathlib.Path(image.image_id).stem
            members += [(f"{key}.jpg", data), (f"{key}.txt", "\n".join(image.captions))]
        write_tar(directory / f"{name}.tar", members)


def as_parquet(sample: pathlib.Path, directory: pathlib.Path) -> None:
    for name, rows in shards(sample):
        images = [hf_image(data, image.image_id) for image, data in rows]
        columns = {"image": images, "captions": [list(image.captions) for image, _ in rows]}
        write_parquet(directory / "data" / f"{name}.parquet", columns, group=3)


def ingested(data_dir: pathlib.Path, place: pathlib.Path) -> dict[str, tuple]:
    """sha256 -> the other fields of an example, but for the names of the image; of several with one content, sorted."""
    data = read(data_dir)
    settings = CaptionIngestSettings(dir=str(data_dir))
    directories = Directories(str(place / "cache"), str(place / "examples"), str(place / "rejects"))
    result = ingest(data, settings, directories, beam.Pipeline)
    assert not result.rejects and not result.unread
    found: dict[str, list] = collections.defaultdict(list)
    for split in records.SPLITS:
        for path in tf.io.gfile.glob(f"{place}/examples/Split-{split}/*"):
            for serialized in tf.data.TFRecordDataset(path, "GZIP"):
                fields = tf.io.parse_single_example(serialized, record_files.EXAMPLE_SPEC)
                width, height = int(fields[records.WIDTH]), int(fields[records.HEIGHT])
                row = split, width, height, *fields[records.CAPTIONS].numpy().tolist()
                found[fields[records.SHA256].numpy().decode()].append(row)
    return {sha256: tuple(sorted(rows)) for sha256, rows in found.items()}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> pathlib.Path:
    """The directory of a store with nothing but the backbone."""
    directory = tmp_path_factory.mktemp("store")
    FeatureStore(str(directory)).prepare_backbone(TINY)
    return directory


def features(data_dir: pathlib.Path, place: pathlib.Path, backbone: pathlib.Path) -> dict[str, np.ndarray]:
    """sha256 -> feature of the images of a data directory, extracted into a new store."""
    data = read(data_dir)
    inspections = inspection_cache.inspect_files(
        [image.file for image in data.images], str(place / "cache"), str(data_dir), beam.Pipeline
    )
    examples = ((image.image_id, image.file.uri, inspections[image.file.uri].sha256) for image in data.images)
    images = extract.images_by_id(examples, str(data_dir))
    shutil.copytree(backbone, place / "store")
    store = FeatureStore(str(place / "store"))
    grid, channels = store.prepare_backbone(TINY)
    extract.extract_missing(images, store, 4, beam.Pipeline)
    manifest = Manifest("f", store.directory, grid, channels, extract.shards_of(images, store))
    rows: dict[str, np.ndarray] = {}
    for names, batch in manifest.read(images.keys(), 4):
        for ids, feature in zip(names, batch.numpy(), strict=True):
            rows |= {images[image_id].sha256: feature for image_id in ids}
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("convert", [as_webdataset, as_parquet])
def test_containers_are_read_as_files_are(sample, backbone, tmp_path, convert):
    convert(sample, tmp_path / "data")
    files, containers = ingested(sample, tmp_path / "files"), ingested(tmp_path / "data", tmp_path / "containers")
    assert sum(map(len, files.values())) == NUM_IMAGES and containers == files
    expected = features(sample, tmp_path / "files", backbone)
    extracted = features(tmp_path / "data", tmp_path / "containers", backbone)
    assert expected.keys() == extracted.keys() == files.keys()
    for sha256, feature in expected.items():
        np.testing.assert_array_equal(extracted[sha256], feature)


@pytest.mark.parametrize(
    ("convert", "change"), [(as_webdataset, "mtime"), (as_parquet, "mtime"), (as_webdataset, "cut")]
)
def test_a_container_that_changes_while_it_is_read_is_noticed(sample, tmp_path, convert, change):
    convert(sample, tmp_path)
    image = read(tmp_path).images[0]
    path = tmp_path / image.source
    [before] = inspection_cache.inspect_batch(str(tmp_path), [image.file])
    assert before is not None and not before.fault
    ingested_image = IngestedImage(str(tmp_path / image.file.uri), before.sha256)
    assert len(next(read_verified([ingested_image]))) > 500
    if change == "mtime":
        os.utime(path, ns=(7, 7))
    else:
        path.write_bytes(path.read_bytes()[:1000])
    assert inspection_cache.inspect_batch(str(tmp_path), [image.file]) == [None]
    path.unlink()
    with pytest.raises(ImageChangedError, match="has changed since it was ingested"):
        next(read_verified([ingested_image]))
