import json

import numpy as np
import pytest
import tensorflow as tf

from components.feature_extractor import backbones, store
from components.feature_extractor.store import FeatureStore
from components.features import Manifest

FEATURES = np.arange(2 * 4 * 3, dtype=np.float16).reshape(2, 4, 3)


@pytest.fixture
def features(tmp_path):
    return FeatureStore(str(tmp_path / "store"))


def shards(features, suffix="tfrecord"):
    return sorted(tf.io.gfile.glob(f"{features.directory}/*.{suffix}"))


def test_what_is_added_can_be_read(features):
    features.add(["one", "two"], FEATURES)
    [path] = shards(features)
    manifest = Manifest("f", features.directory, (2, 2), 3, {})
    records = [manifest.parse(record) for record in tf.data.TFRecordDataset(path)]
    assert [sha.numpy() for sha, _ in records] == [b"one", b"two"]
    np.testing.assert_array_equal([feature for _, feature in records], FEATURES)


def test_the_index_grows_with_each_shard(features):
    features.add(["one", "two"], FEATURES)
    features.add(["three"], FEATURES[:1])
    index = features.index()
    assert set(index) == {"one", "two", "three"}
    assert index["one"] == index["two"] != index["three"]


def test_the_same_pictures_twice_are_one_shard(features):
    features.add(["one", "two"], FEATURES)
    features.add(["one", "two"], FEATURES)
    assert len(shards(features)) == 1


def test_a_shard_without_an_index_does_not_count(features):
    features.add(["one", "two"], FEATURES)
    tf.io.gfile.remove(shards(features, "json")[0])
    assert features.index() == {}


@pytest.mark.parametrize("damage", ["cut", "remove"])
def test_a_shard_that_was_cut_or_removed_does_not_count(features, damage):
    features.add(["one", "two"], FEATURES)
    [path] = shards(features)
    if damage == "cut":
        with open(path, "r+b") as file:
            file.truncate(20)
    else:
        tf.io.gfile.remove(path)
    assert features.index() == {}


def test_a_failed_write_leaves_nothing(features):
    features.add(["one"], FEATURES[:1])
    with pytest.raises(ValueError):
        features.add(["two", "three"], FEATURES[:1])
    assert len(shards(features)) == 1
    assert set(features.index()) == {"one"}


def test_the_identity_stays_until_the_directory_goes(features):
    first = features.identity()
    assert features.identity() == first
    tf.io.gfile.rmtree(features.directory)
    assert features.identity() != first


def test_the_backbone_is_exported_once(features, monkeypatch):
    exported = []

    def export(settings, directory):  # stands for the real export, which has tests of its own
        exported.append(settings)
        tf.io.gfile.makedirs(directory)
        return (2, 2), 3

    monkeypatch.setattr(store.backbones, "export", export)
    settings = backbones.BackboneSettings("MobileNet", "random", 32)
    assert features.prepare_backbone(settings) == ((2, 2), 3)
    assert features.prepare_backbone(settings) == ((2, 2), 3)
    assert exported == [settings]
    assert json.loads(tf.io.gfile.GFile(f"{features.directory}/backbone.json").read())["name"] == "MobileNet"

    # killed between the rename and the line that says that it is there
    tf.io.gfile.remove(f"{features.directory}/backbone.json")
    assert features.prepare_backbone(settings) == ((2, 2), 3)
    assert len(exported) == 2
