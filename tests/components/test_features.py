import json
import types

import numpy as np
import pytest
import tensorflow as tf

from components.features import Backbone, Manifest, serialize

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
