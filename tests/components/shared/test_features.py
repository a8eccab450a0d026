import types

import numpy as np
import pytest
import tensorflow as tf

from components.shared.backbone_description import BackboneDescription
from components.shared.features import Backbone, CorruptShardError, Manifest, MissingFeaturesError
from components.shared.shard_format import serialize, write_shard

SHARDS = {"shard-1.tfrecord": {"a.jpg": "sha a", "b.jpg": "sha b"}, "shard-2.tfrecord": {"c.jpg": "sha c"}}


@pytest.fixture
def manifest(tmp_path):
    for shard in SHARDS:
        (tmp_path / shard).write_bytes(b"")
    return Manifest("print", str(tmp_path), (2, 3), 4, SHARDS)


def test_a_manifest_is_read_as_it_was_written(manifest, tmp_path):
    manifest.save(str(tmp_path / "artifact"))
    assert Manifest.load(str(tmp_path / "artifact")) == manifest


def test_a_manifest_whose_shards_are_missing_is_refused(manifest, tmp_path):
    manifest.save(str(tmp_path / "artifact"))
    (tmp_path / "shard-2.tfrecord").unlink()
    message = rf"1 shards missing \(shard-2.*\); run again, and if it fails again, delete {tmp_path}/generation$"
    with pytest.raises(MissingFeaturesError, match=message):
        Manifest.load(str(tmp_path / "artifact"))


def test_shards_of_some_images(manifest):
    assert manifest.shards_of(["b.jpg"]) == {"shard-1.tfrecord": {"b.jpg": "sha b"}}
    assert manifest.shards_of(["a.jpg", "c.jpg", "unknown"]) == {
        "shard-1.tfrecord": {"a.jpg": "sha a"},
        "shard-2.tfrecord": {"c.jpg": "sha c"},
    }


def test_a_record_is_parsed_as_it_was_serialized(manifest):
    feature = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float16)
    sha, parsed = manifest.parse(tf.constant(serialize("sha a", feature)))
    assert sha.numpy() == b"sha a"
    assert parsed.dtype == tf.float16
    np.testing.assert_array_equal(parsed, feature)


def write_numbered(directory, *numbers: int) -> str:
    """Writes a shard whose images and features are known by a number."""
    features = [np.full((2, 1), number, np.float16) for number in numbers]
    return write_shard(str(directory), [f"sha {number}" for number in numbers], features)


def test_identical_images_are_read_once(tmp_path):
    names = {"a.jpg": "sha 1", "copy.jpg": "sha 1", "b.jpg": "sha 2", "other.jpg": "sha 0"}
    one, two = write_numbered(tmp_path, 0, 1), write_numbered(tmp_path, 2, 3)
    shards = {one: {name: names[name] for name in ("a.jpg", "copy.jpg", "other.jpg")}, two: {"b.jpg": "sha 2"}}
    manifest = Manifest("print", str(tmp_path), (1, 2), 1, shards)
    [(rows, features)] = manifest.read(["a.jpg", "copy.jpg", "b.jpg", "unknown.jpg"], 8)
    assert rows == [["a.jpg", "copy.jpg"], ["b.jpg"]]
    np.testing.assert_array_equal(features, [[[1], [1]], [[2], [2]]])
    assert [len(rows) for rows, _ in manifest.read(names, 2)] == [2, 1]
    assert list(manifest.read(["unknown.jpg"], 8)) == []


def test_of_two_shards_with_an_image_the_manifests_is_read(tmp_path):
    one = write_numbered(tmp_path, 1, 2)
    two = write_shard(str(tmp_path), ["sha 3", "sha 1"], [np.full((2, 1), 7, np.float16)] * 2)
    manifest = Manifest("print", str(tmp_path), (1, 2), 1, {one: {"b.jpg": "sha 2"}, two: {"a.jpg": "sha 1"}})
    [(rows, features)] = manifest.read(["a.jpg", "b.jpg"], 8)
    assert rows == [["b.jpg"], ["a.jpg"]]
    np.testing.assert_array_equal(features, [[[2], [2]], [[7], [7]]])


def flip_a_bit(path):
    corrupt = bytearray(path.read_bytes())
    corrupt[-10] ^= 1
    path.write_bytes(corrupt)


def cut_the_last_record_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [flip_a_bit, cut_the_last_record_off])
def test_a_shard_that_is_corrupt_when_it_is_read_is_deleted(tmp_path, damage):
    one, two = write_numbered(tmp_path, 1), write_numbered(tmp_path, 2, 3)
    shards = {one: {"a.jpg": "sha 1"}, two: {"b.jpg": "sha 2", "c.jpg": "sha 3"}}
    manifest = Manifest("print", str(tmp_path), (1, 2), 1, shards)
    damage(tmp_path / two)
    message = rf"1 corrupt shards deleted from the feature store \(.*{two}, …\): run again"
    with pytest.raises(CorruptShardError, match=message), manifest.deleting_corrupt_shards():
        list(manifest.read(["a.jpg", "b.jpg", "c.jpg"], 8))
    assert [path.name for path in tmp_path.glob("*.tfrecord")] == [one]


def test_no_shard_is_deleted_for_another_files_corruption(tmp_path):
    shard = write_numbered(tmp_path, 1)
    manifest = Manifest("print", str(tmp_path), (1, 2), 1, {shard: {"a.jpg": "sha 1"}})
    with pytest.raises(tf.errors.DataLossError), manifest.deleting_corrupt_shards():
        raise tf.errors.DataLossError(None, None, "of another file")
    assert (tmp_path / shard).exists()


def test_features_are_read_in_any_order(tmp_path):
    features = {f"sha {n}": np.full((2, 1), n, np.float16) for n in range(6)}
    names = list(features)
    shards = {}
    for part in (names[:3], names[3:]):
        shard = write_shard(str(tmp_path), part, [features[name] for name in part])
        shards[shard] = {name: name for name in part}
    manifest = Manifest("print", str(tmp_path), (1, 2), 1, shards)
    order = ["sha 5", "sha 0", "sha 3", "sha 0", "sha 2"]
    rows = [(int(index), feature.numpy()) for index, feature in manifest.read_in_order(order)]
    assert [index for index, _ in rows] == list(range(5))
    np.testing.assert_array_equal([feature for _, feature in rows], [features[name] for name in order])


def test_the_named_backbone_is_loaded(tmp_path, monkeypatch):
    BackboneDescription("MobileNet", "random", 32, "backbone-2", (1, 2), 1).write(str(tmp_path))
    monkeypatch.setattr(
        tf.saved_model,
        "load",
        lambda path: types.SimpleNamespace(
            features=lambda encoded: (path, encoded), from_pixels=lambda pixels: (path, pixels)
        ),
    )
    backbone = Backbone(str(tmp_path))
    assert backbone.size == 32
    assert backbone("encoded") == (str(tmp_path / "backbone-2"), "encoded")
    assert backbone.from_pixels("pixels") == (str(tmp_path / "backbone-2"), "pixels")
