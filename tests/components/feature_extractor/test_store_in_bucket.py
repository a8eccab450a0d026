"""The feature store in a bucket, on a real server."""

import json
import os
import pathlib
import time

import numpy as np
import pytest

from components.feature_extractor import export
from components.feature_extractor.settings import FeatureExtractorSettings
from components.feature_extractor.store import CommitWatcher, FeatureStore
from components.shared import node_cache, object_store, storage
from components.shared.features import CorruptShardError, Manifest, MissingFeaturesError
from components.shared.shard_format import index_of
from components.shared.tensorflow_filesystem import TensorFlowFileSystem
from tests.object_store import recorded_requests

FEATURES = np.arange(3 * 4 * 3, dtype=np.float16).reshape(3, 4, 3)
IMAGES = ["one", "two", "three"]
SETTINGS = FeatureExtractorSettings("MobileNet", "random", 32)


@pytest.fixture
def features(bucket) -> FeatureStore:
    return FeatureStore(f"{bucket}/store/fingerprint")


@pytest.fixture
def manifest(features) -> Manifest:
    """The manifest of two shards."""
    features.add(IMAGES[:2], FEATURES[:2])
    features.add(IMAGES[2:], FEATURES[2:])
    shards: dict[str, dict[str, str]] = {}
    for sha256, shard in features.index().items():
        shards.setdefault(shard, {})[f"{sha256}.jpg"] = sha256
    return Manifest("fingerprint", features.directory, (2, 2), 3, shards)


@pytest.fixture
def requests(monkeypatch) -> list[str]:
    return recorded_requests(monkeypatch)


def read(manifest: Manifest) -> list[np.ndarray]:
    with manifest.deleting_corrupt_shards():
        return [feature.numpy() for _, feature in manifest.read_in_order(IMAGES)]


def copies(suffix: str) -> list[pathlib.Path]:
    return sorted(pathlib.Path(node_cache.directory()).glob(f"entries/*/*{suffix}"))


def flip_a_bit(data: bytes) -> bytes:
    return data[:-10] + bytes([data[-10] ^ 1]) + data[-9:]


def test_features_are_read_as_they_were_written(manifest, tmp_path):
    manifest.save(str(tmp_path))
    np.testing.assert_array_equal(read(Manifest.load(str(tmp_path))), FEATURES)


def test_features_are_read_through_tensorflows_file_system(tmp_path, monkeypatch):
    """As in Google Cloud Storage without gcsfs, which can't be had here."""
    monkeypatch.setattr(object_store, "_filesystem", lambda uri: (TensorFlowFileSystem(), uri))
    monkeypatch.setenv("CAPTION_PIPELINE_CACHE", str(tmp_path / "node_cache"))
    features = FeatureStore(f"file://{tmp_path}/store")
    features.add(IMAGES, FEATURES)
    [shard] = set(features.index().values())
    manifest = Manifest("fingerprint", features.directory, (2, 2), 3, {shard: {name: name for name in IMAGES}})
    np.testing.assert_array_equal(read(manifest), FEATURES)
    features.remove([shard])
    assert features.index() == {} and list(features.entries()) == ["generation"]


def test_where_nothing_changed_one_listing_is_the_only_request(features, manifest, requests):
    read(manifest), features.index()
    requests.clear()
    assert set(features.index()) == set(IMAGES)
    assert requests == ["list_tree"]
    requests.clear()
    read(manifest)
    assert requests == ["list_tree"]
    requests.clear()
    features.delete_damaged_shards()
    assert requests == ["list_tree"]


def test_reading_some_images_copies_their_shards_alone(manifest):
    assert len(list(manifest.read_in_order(["three"]))) == 1
    assert len(copies(".tfrecord")) == 1


def test_a_damaged_copy_is_copied_again_and_the_object_stays(features, manifest):
    read(manifest)
    for path in copies(".tfrecord"):
        path.write_bytes(flip_a_bit(path.read_bytes()))
    with pytest.raises(CorruptShardError, match=r"2 damaged copies of shards deleted from the node's cache \(s3.*run"):
        read(manifest)
    np.testing.assert_array_equal(read(manifest), FEATURES)
    assert set(features.index()) == set(IMAGES)


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_copy_of_an_index_is_copied_again(features, manifest, content):
    read(manifest)
    for path in copies(".json"):
        path.write_text(content.ljust(path.stat().st_size))
    features.delete_damaged_shards()
    assert set(features.index()) == set(IMAGES)
    np.testing.assert_array_equal(read(manifest), FEATURES)


def test_a_corrupt_object_is_deleted_and_computed_again(features, manifest):
    [corrupt] = {features.index()["one"]}
    path = f"{features.directory}/{corrupt}"
    storage.write_bytes(path, flip_a_bit(storage.read_bytes(path)))
    before = features.generation()
    with pytest.raises(CorruptShardError, match=rf"1 corrupt shards deleted from the feature store \({path}, …\): run"):
        read(manifest)
    features.delete_damaged_shards()  # the next run's driver
    assert set(features.index()) == {"three"} and features.generation() != before
    assert not storage.exists(index_of(path))


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"])
def test_a_damaged_index_costs_its_shard_alone(features, manifest, content):
    storage.write_bytes(f"{features.directory}/{index_of(features.index()['one'])}", content)
    features.delete_damaged_shards()
    assert set(features.index()) == {"three"}
    with pytest.raises(CorruptShardError):
        read(manifest)


def test_a_shard_that_another_run_deletes_meanwhile_is_missing(features, manifest, tmp_path):
    features.remove([features.index()["one"]])
    manifest.save(str(tmp_path))
    with pytest.raises(MissingFeaturesError, match="1 shards missing"):
        Manifest.load(str(tmp_path))


def test_an_index_that_is_deleted_after_it_was_listed_does_not_count(features, manifest, monkeypatch):
    entries = features.entries()
    features.remove([features.index()["one"]])
    monkeypatch.setattr(storage, "list_entries", lambda _: entries)
    for path in copies(".json"):
        node_cache.discard([str(path)])
    assert set(features.index()) == {"three"}


def test_a_shard_that_was_added_after_the_listing_counts(features, monkeypatch):
    features.add(["one"], FEATURES[:1])
    entries = {name: entry for name, entry in features.entries().items() if name.endswith(".json")}
    monkeypatch.setattr(storage, "list_entries", lambda _: entries)
    features.delete_damaged_shards()
    assert set(features.index()) == {"one"}


def test_what_others_commit_is_noticed_with_a_request_per_new_shard(features, requests):
    watcher = CommitWatcher(features, ())
    features.add(["one"], FEATURES[:1])
    assert watcher() == {"one"}
    requests.clear()
    assert watcher() == {"one"} and requests == ["list_directory"]


def test_deleting_begins_a_new_generation_and_removes_the_index_first(features, manifest, monkeypatch):
    first, states, remove = features.generation(), [], storage.remove

    def record(path):
        states.append((features.generation() != first, len(features.index_files())))
        remove(path)

    monkeypatch.setattr(storage, "remove", record)
    features.remove(sorted(manifest.shards))
    assert states == [(True, 2), (True, 1), (True, 0), (True, 0)]
    assert list(features.entries()) == ["generation"]


@pytest.fixture
def exported(monkeypatch) -> list[str]:
    """Stands for the real export, which has tests of its own: records the directories."""
    directories = []

    def fake_export(settings, directory):
        directories.append(directory)
        for name in ("saved_model.pb", "variables/variables.index"):
            storage.write_text(os.path.join(directory, name), name)
        return (2, 2), 3

    monkeypatch.setattr(export, "export", fake_export)
    return directories


def test_the_backbone_is_exported_on_the_disk_then_uploaded_and_named_last(features, exported, monkeypatch):
    uploads, upload, write = [], object_store.upload, object_store.write_bytes
    monkeypatch.setattr(object_store, "upload", lambda file, uri: [uploads.append(uri), upload(file, uri)])
    monkeypatch.setattr(object_store, "write_bytes", lambda uri, data: [uploads.append(uri), write(uri, data)])
    assert features.prepare_backbone(SETTINGS) == features.prepare_backbone(SETTINGS) == ((2, 2), 3)
    assert [storage.is_local(directory) for directory in exported] == [True]
    assert not os.path.exists(exported[0])
    name = features.backbone().saved_model
    assert [uri.removeprefix(features.directory) for uri in uploads] == [
        f"/{name}/variables/variables.index", f"/{name}/saved_model.pb", "/backbone.json",
    ]  # fmt: skip


def test_a_backbone_that_must_not_be_named_is_not_uploaded(features, exported):
    def refuse():
        raise ValueError("changed")

    with pytest.raises(ValueError, match="changed"):
        features.prepare_backbone(SETTINGS, refuse)
    assert features.entries() == {}


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_a_backbone_with_a_missing_or_other_object_is_exported_again(features, exported, name):
    features.add(["one"], FEATURES[:1])
    for damage in (storage.remove, lambda path: storage.write_text(path, "other")):
        features.prepare_backbone(SETTINGS)
        damage(f"{features.directory}/{features.backbone().saved_model}/{name}")
        assert features.backbone() is None
        features.restore_backbone(SETTINGS)
        assert features.backbone() is not None
    assert len(exported) == 3


def test_orphans_are_found_and_removed(features, exported):
    features.add(["one"], FEATURES[:1])
    features.prepare_backbone(SETTINGS)
    features.generation()
    kept = set(features.entries())
    for name in ("shard-1.tfrecord", "backbone-0a/variables/data", "backbone-0a/saved_model.pb"):
        storage.write_text(f"{features.directory}/{name}", "12345")
    storage.write_text(f"{features.directory}/shard-2.json", json.dumps({}))
    assert features.orphans(time.time() - 3600) == {}
    orphans = features.orphans(time.time() + 3600)
    assert orphans == {"shard-1.tfrecord": 5, "backbone-0a": 10, "shard-2.json": 2}
    features.remove_orphans(orphans)
    assert set(features.entries()) == kept
