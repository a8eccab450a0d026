import json
import types

import numpy as np
import pytest
import tensorflow as tf

from components.features import Backbone, DamagedFeatures, Manifest, serialize

SHARDS = {"shard-1.tfrecord": {"a.jpg": "sha a", "b.jpg": "sha b"}, "shard-2.tfrecord": {"c.jpg": "sha c"}}


@pytest.fixture
def manifest(tmp_path):
    for shard in SHARDS:
        (tmp_path / shard).write_bytes(b"")
    return Manifest("print", str(tmp_path), (2, 3), 4, SHARDS)


def test_a_manifest_survives_its_file(manifest, tmp_path):
    manifest.save(str(tmp_path / "artifact"))
    assert Manifest.load(str(tmp_path / "artifact")) == manifest


def test_a_manifest_whose_shards_are_gone_is_refused(manifest, tmp_path):
    manifest.save(str(tmp_path / "artifact"))
    (tmp_path / "shard-2.tfrecord").unlink()
    with pytest.raises(FileNotFoundError, match=r"has lost 1 feature shards \(shard-2.tfrecord"):
        Manifest.load(str(tmp_path / "artifact"))


def test_shards_of_some_pictures(manifest):
    assert manifest.shards_of(["b.jpg"]) == {"shard-1.tfrecord": {"b.jpg": "sha b"}}
    assert manifest.shards_of(["a.jpg", "c.jpg", "unknown"]) == {
        "shard-1.tfrecord": {"a.jpg": "sha a"},
        "shard-2.tfrecord": {"c.jpg": "sha c"},
    }


def test_a_record_survives_its_bytes(manifest):
    feature = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float16)
    sha, parsed = manifest.parse(tf.constant(serialize("sha a", feature)))
    assert sha.numpy() == b"sha a"
    assert parsed.dtype == tf.float16
    np.testing.assert_array_equal(parsed, feature)


def test_the_features_of_some_pictures_are_read_each_content_once(tmp_path):
    names = {"a.jpg": "sha 1", "copy.jpg": "sha 1", "b.jpg": "sha 2", "other.jpg": "sha 0"}
    for number, shard in enumerate(("one", "two")):
        with tf.io.TFRecordWriter(str(tmp_path / shard)) as writer:
            for value in (2 * number, 2 * number + 1):
                writer.write(serialize(f"sha {value}", np.full((2, 1), value, np.float16)))
    shards = {"one": {name: names[name] for name in ("a.jpg", "copy.jpg", "other.jpg")}, "two": {"b.jpg": "sha 2"}}
    manifest = Manifest("print", str(tmp_path), (1, 2), 1, shards)
    [(rows, features)] = manifest.read(["a.jpg", "copy.jpg", "b.jpg", "unknown.jpg"], 8)
    assert rows == [["a.jpg", "copy.jpg"], ["b.jpg"]]
    np.testing.assert_array_equal(features, [[[1], [1]], [[2], [2]]])
    assert [len(rows) for rows, _ in manifest.read(names, 2)] == [2, 1]
    assert list(manifest.read(["unknown.jpg"], 8)) == []


def write_shard(path, *contents: str) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number, sha in enumerate(contents):
            writer.write(serialize(sha, np.full((2, 1), number, np.float16)))


def test_of_a_picture_in_two_shards_the_one_that_the_manifest_names_is_read(tmp_path):
    write_shard(tmp_path / "one", "sha a", "sha b")
    write_shard(tmp_path / "two", "sha c", "sha a")
    manifest = Manifest("print", str(tmp_path), (1, 2), 1, {"one": {"b.jpg": "sha b"}, "two": {"a.jpg": "sha a"}})
    [(rows, features)] = manifest.read(["a.jpg", "b.jpg"], 8)
    assert rows == [["b.jpg"], ["a.jpg"]]
    np.testing.assert_array_equal(features, [[[1], [1]], [[1], [1]]])


def test_a_shard_that_is_damaged_when_it_is_read_is_removed(tmp_path):
    write_shard(tmp_path / "one", "sha a")
    write_shard(tmp_path / "two", "sha b")
    manifest = Manifest("print", str(tmp_path), (1, 2), 1, {"one": {"a.jpg": "sha a"}, "two": {"b.jpg": "sha b"}})
    damaged = bytearray((tmp_path / "two").read_bytes())
    damaged[-10] ^= 1
    (tmp_path / "two").write_bytes(damaged)
    message = r"1 shards .* damaged and are removed \(.*two\): run again"
    with pytest.raises(DamagedFeatures, match=message), manifest.mending():
        list(manifest.read(["a.jpg", "b.jpg"], 8))
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_damage_elsewhere_is_not_the_shards(tmp_path):
    write_shard(tmp_path / "one", "sha a")
    manifest = Manifest("print", str(tmp_path), (1, 2), 1, {"one": {"a.jpg": "sha a"}})
    with pytest.raises(tf.errors.DataLossError), manifest.mending():
        raise tf.errors.DataLossError(None, None, "of another file")
    assert (tmp_path / "one").exists()


def test_the_backbone_is_the_one_that_is_named(tmp_path, monkeypatch):
    (tmp_path / "backbone.json").write_text(json.dumps({"saved_model": "backbone-2", "size": 32}))
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
