import hashlib

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf

from components import scenes
from components.feature_extractor import backbones, extract
from components.feature_extractor.extract import Picture, PictureChanged
from components.feature_extractor.store import FeatureStore
from components.features import Manifest, load_backbone

TINY = backbones.BackboneSettings("MobileNet", "random", 32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A store's directory with nothing but the backbone."""
    directory = tmp_path_factory.mktemp("store")
    FeatureStore(str(directory)).prepare_backbone(TINY)
    return directory


@pytest.fixture
def store(exported, tmp_path):
    (tmp_path / "store").mkdir()
    for path in exported.glob("backbone*"):
        (tmp_path / "store" / path.name).symlink_to(path)
    return FeatureStore(str(tmp_path / "store"))


def pictures(directory, indices):
    made = {}
    for index in indices:
        path, data = directory / f"{index}.jpg", scenes.jpeg(1, index)
        path.write_bytes(data)
        made[path.name] = Picture(str(path), hashlib.sha256(data).hexdigest())
    return made


def features_in(store, shards):
    manifest = Manifest("f", store.directory, (1, 1), 1024, shards)
    found = {}
    for shard in shards:
        for sha, feature in tf.data.TFRecordDataset(f"{store.directory}/{shard}").map(manifest.parse):
            found[sha.numpy().decode()] = feature.numpy()
    return found


def test_features_are_the_backbones(store, tmp_path):
    wanted = pictures(tmp_path, range(3))
    assert extract.extract_missing(wanted, store, 2, beam.Pipeline) == 3
    found = features_in(store, extract.shards_of(wanted, store))
    backbone = load_backbone(store.directory)
    for picture in wanted.values():
        expected = backbone(tf.constant([extract.read_checked(picture)]))[0].numpy()
        np.testing.assert_allclose(found[picture.sha256], expected, rtol=1e-2, atol=1e-3)


def test_only_what_is_missing_is_computed(store, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "SHARD", 2)
    first = pictures(tmp_path, range(3))
    assert extract.extract_missing(first, store, 32, beam.Pipeline) == 3
    assert extract.extract_missing(first, store, 32, beam.Pipeline) == 0
    more = pictures(tmp_path, range(5))
    assert extract.extract_missing(more, store, 32, beam.Pipeline) == 2
    shards = extract.shards_of(more, store)
    assert sorted(image_id for held in shards.values() for image_id in held) == sorted(more)
    assert len(features_in(store, shards)) == 5


def test_a_picture_under_two_names_is_computed_once(store, tmp_path):
    [picture] = pictures(tmp_path, [0]).values()
    wanted = {"a.jpg": picture, "b.jpg": picture}
    assert extract.extract_missing(wanted, store, 32, beam.Pipeline) == 1
    assert list(extract.shards_of(wanted, store).values()) == [{"a.jpg": picture.sha256, "b.jpg": picture.sha256}]


@pytest.mark.parametrize("change", ["other bytes", "gone"])
def test_a_picture_that_has_changed_since_the_ingest_is_noticed(tmp_path, change):
    [picture] = pictures(tmp_path, [0]).values()
    if change == "gone":
        (tmp_path / "0.jpg").unlink()
    else:
        (tmp_path / "0.jpg").write_bytes(b"other")
    with pytest.raises(PictureChanged, match=r"0.jpg has changed since it was ingested"):
        extract.read_checked(picture)


def test_what_was_committed_before_a_failure_is_kept(store, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "SHARD", 1)
    wanted = pictures(tmp_path, range(3))
    (tmp_path / "2.jpg").write_bytes(b"other")
    with pytest.raises(Exception, match="has changed since it was ingested"):
        extract.extract_missing(wanted, store, 32, beam.Pipeline)
    kept = len(store.index())
    wanted |= pictures(tmp_path, [2])
    assert extract.extract_missing(wanted, store, 32, beam.Pipeline) == 3 - kept
    assert set(store.index()) == {picture.sha256 for picture in wanted.values()}
