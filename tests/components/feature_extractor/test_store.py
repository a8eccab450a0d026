import json
import os
import re
import time

import numpy as np
import pytest
import tensorflow as tf

from components.feature_extractor import export
from components.feature_extractor.settings import FeatureExtractorSettings
from components.feature_extractor.store import FeatureStore
from components.shared import storage
from components.shared.backbone_description import BackboneDescription
from components.shared.features import Manifest
from components.shared.storage_entry import Entry

FEATURES = np.arange(2 * 4 * 3, dtype=np.float16).reshape(2, 4, 3)


@pytest.fixture
def features(tmp_path):
    return FeatureStore(str(tmp_path / "store"))


def shards(features, suffix="tfrecord"):
    return sorted(tf.io.gfile.glob(f"{features.directory}/*.{suffix}"))


def write(path, text=""):
    with open(path, "w") as file:
        file.write(text)


def test_added_features_can_be_read(features):
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


def test_the_same_images_twice_are_one_shard(features):
    features.add(["one", "two"], FEATURES)
    features.add(["one", "two"], FEATURES)
    assert len(shards(features)) == 1


def test_a_shard_without_an_index_does_not_count(features):
    features.add(["one", "two"], FEATURES)
    tf.io.gfile.remove(shards(features, "json")[0])
    assert features.index() == {}


@pytest.mark.parametrize("damage", ["cut", "remove"])
def test_a_truncated_or_missing_shard_does_not_count(features, damage):
    features.add(["one", "two"], FEATURES)
    [path] = shards(features)
    if damage == "cut":
        with open(path, "r+b") as file:
            file.truncate(20)
    else:
        tf.io.gfile.remove(path)
    assert features.index() == {}


def test_a_shard_with_a_corrupt_record_is_deleted(features):
    features.add(["one", "two"], FEATURES)
    features.add(["three"], FEATURES[:1])
    [corrupt] = {features.index()["one"]}
    with open(f"{features.directory}/{corrupt}", "r+b") as file:
        file.seek(60)
        byte = file.read(1)
        file.seek(60)
        file.write(bytes([byte[0] ^ 1]))
    assert features.verify(["three"]) == []  # other shards are not read
    before = features.generation()
    assert features.verify(["two", "three"]) == [corrupt]
    assert set(features.index()) == {"three"}
    assert features.generation() != before
    assert features.verify(["one", "two", "three"]) == []
    assert len(shards(features)) == len(shards(features, "json")) == 1


@pytest.fixture
def one_shard(features):
    """The paths of a shard of two images and of its index."""
    features.add(["one", "two"], FEATURES)
    return shards(features)[0], shards(features, "json")[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda index: b"",  # as a crash of the machine can leave it
        lambda index: json.dumps(index).encode()[:-5],
        lambda index: b"\xff\xfe",
        lambda index: b"null",
        lambda index: b"[1, 2]",
        lambda index: json.dumps({**index, "sha256": 3}).encode(),
        lambda index: json.dumps({**index, "sha256": [["one"], "two"]}).encode(),
        lambda index: json.dumps({**index, "sha256": ["\ud800"]}).encode(),
        lambda index: json.dumps({**index, "sha256": [*index["sha256"], "three"]}).encode(),
        lambda index: json.dumps({**index, "file": "../precious.tfrecord"}).encode(),
        lambda index: json.dumps({**index, "more": 1}).encode(),
    ],
)
def test_a_damaged_or_forged_index_does_not_count_and_touches_no_other_file(features, one_shard, change):
    shard, path = one_shard
    with open(shard, "rb") as file, open(f"{features.directory}/../precious.tfrecord", "wb") as precious:
        precious.write(file.read())
    with open(path, "rb") as file:
        index = json.load(file)
    with open(path, "wb") as file:
        file.write(change(index))
    assert features.index() == {}
    assert features.verify(["one", "two", "three"]) == []
    features.delete_damaged_shards()
    features.remove_orphans(features.orphans(time.time() + 1))
    assert tf.io.gfile.listdir(features.directory) == ["generation"]
    assert os.path.exists(f"{features.directory}/../precious.tfrecord")


def test_an_index_of_another_name_does_not_count(features, one_shard):
    os.rename(one_shard[1], f"{features.directory}/shard-other.json")
    assert features.index() == {}


def test_an_index_that_is_deleted_while_it_is_read_does_not_count(features, one_shard, monkeypatch):
    monkeypatch.setattr(
        storage, "list_entries", lambda directory: {"shard-gone.json": Entry("shard-gone.json", 9, 0.0)}
    )
    assert features.index() == {}


def test_a_shard_that_is_deleted_while_it_is_verified_is_computed_again(features, one_shard, monkeypatch):
    [name] = {features.index()["one"]}
    shards = FeatureStore.shards

    def remove_after(self):
        found = shards(self)
        tf.io.gfile.remove(one_shard[0])
        return found

    monkeypatch.setattr(FeatureStore, "shards", remove_after)
    assert features.verify(["one"]) == [name]


def test_a_shard_that_is_deleted_while_it_is_committed_does_not_count(features, monkeypatch):
    replace = os.replace

    def remove_after(partial, path):
        replace(partial, path)
        if path.endswith(".tfrecord"):
            os.remove(path)

    monkeypatch.setattr(os, "replace", remove_after)
    features.add(["one", "two"], FEATURES)
    assert features.index() == {}


def test_a_corrupt_shard_that_another_run_has_replaced_is_kept(features, monkeypatch):
    names = []
    for sha256 in ("one", "two"):
        features.add([sha256], FEATURES[:1])
        names.append(features.index()[sha256])
        with open(f"{features.directory}/{names[-1]}", "r+b") as file:
            file.write(b"broken")
    are_intact = FeatureStore._are_intact

    def replace(self, used):
        if [shard.file for shard in used] == sorted(names)[1:]:  # the first was found corrupt and is deleted
            for sha256, name in zip(("one", "two"), names, strict=True):
                if name == sorted(names)[0]:
                    self.add([sha256], FEATURES[:1])
        return are_intact(self, used)

    monkeypatch.setattr(FeatureStore, "_are_intact", replace)
    assert features.verify(["one", "two"]) == sorted(names)
    assert set(features.index().values()) == {sorted(names)[0]}


@pytest.mark.parametrize("damage", ["cut", "remove"])
def test_a_truncated_or_missing_shard_starts_a_new_generation(features, one_shard, damage):
    first = features.generation()
    features.delete_damaged_shards()
    assert features.generation() == first
    if damage == "cut":
        os.truncate(one_shard[0], 20)
    else:
        os.remove(one_shard[0])
    assert features.generation() == first  # asking deletes nothing
    features.delete_damaged_shards()
    second = features.generation()
    assert second != first  # else a cached manifest would name it
    features.delete_damaged_shards()
    assert features.generation() == second


@pytest.mark.parametrize("content", [b"", b"0a", bytes(100), b"\xff"])
def test_a_shard_with_a_damaged_index_is_deleted_and_computed_again(features, one_shard, content):
    features.add(["three"], FEATURES[:1])
    first = features.generation()
    with open(one_shard[1], "wb") as file:
        file.write(content)
    features.delete_damaged_shards()
    assert features.generation() != first
    assert set(features.index()) == {"three"} and not os.path.exists(one_shard[0])


@pytest.mark.parametrize("content", [b"", b"0a", bytes(32), b"\xff"])
def test_a_damaged_generation_is_a_new_one(features, content):
    first = features.generation()
    with open(f"{features.directory}/generation", "wb") as file:
        file.write(content)
    second = features.generation()
    assert re.fullmatch("[0-9a-f]{32}", second) and second != first
    assert features.generation() == second


def test_removing_first_invalidates_what_names_the_shards(features, monkeypatch):
    features.add(["one"], FEATURES[:1])
    features.add(["two"], FEATURES[:1])
    names, first, killed_after = sorted(features.index().values()), features.generation(), []
    remove = storage.remove

    def record(path):
        killed_after.append((features.generation() != first, *sorted(os.listdir(features.directory))))
        remove(path)

    monkeypatch.setattr(storage, "remove", record)
    features.remove(names)
    stems = [name.removesuffix(".tfrecord") for name in names]
    for index, state in enumerate(killed_after):
        assert state[0]
        left = [f"{stem}.json" for stem in stems[index:]] + names[max(0, index - len(names)) :]
        assert set(state[1:]) == {"generation", *left}
    assert os.listdir(features.directory) == ["generation"]


def test_orphans_are_neither_in_use_nor_recent(features, one_shard, exported):
    features.prepare_backbone(SETTINGS)
    features.generation()
    for name in (
        ".shard-1.tfrecord.0a.partial",
        ".shard-1.json.0a.partial",
        ".backbone.json.0a.partial",
        ".generation.0a.partial",
        "shard-1.tfrecord",
        "shard-2.json",
        "notes.txt",
        ".notes.partial",
    ):
        write(f"{features.directory}/{name}", "12345")
    for name in (".backbone-0a.partial", "backbone-0a"):
        os.makedirs(f"{features.directory}/{name}/variables")
        write(f"{features.directory}/{name}/variables/index", "12345678")
    assert features.orphans(time.time() - 60) == {}
    orphans = features.orphans(time.time() + 60)
    assert set(orphans.values()) == {5, 8}
    features.remove_orphans(orphans)
    features.remove_orphans(orphans)  # another process was faster
    kept = {"notes.txt", ".notes.partial", "generation", "backbone.json", description(features).saved_model}
    kept |= {os.path.basename(path) for path in one_shard}
    assert set(os.listdir(features.directory)) == kept


def test_removing_twice_is_no_error(features):
    features.add(["one"], FEATURES[:1])
    [name] = {features.index()["one"]}
    features.remove([name])
    features.remove([name])
    assert features.index() == {}


def test_a_failed_write_leaves_nothing(features):
    features.add(["one"], FEATURES[:1])
    with pytest.raises(ValueError):
        features.add(["two", "three"], FEATURES[:1])
    assert len(shards(features)) == 1
    assert set(features.index()) == {"one"}


def test_the_generation_lasts_until_the_directory_is_deleted(features):
    first = features.generation()
    assert features.generation() == first
    tf.io.gfile.rmtree(features.directory)
    assert features.generation() != first


SETTINGS = FeatureExtractorSettings("MobileNet", "random", 32)


@pytest.fixture
def exported(monkeypatch):
    """Stands for the real export, which has tests of its own: records the directories, and runs steps meanwhile."""
    directories, meanwhile = [], []

    def fake_export(settings, directory):
        directories.append(directory)
        tf.io.gfile.makedirs(directory)
        write(f"{directory}/saved_model.pb", "graph")
        for step in meanwhile:
            step()
        return (2, 2), 3

    monkeypatch.setattr(export, "export", fake_export)
    return directories, meanwhile


def description(features):
    return BackboneDescription.read(features.directory)


def saved_models(features):
    return {name.rstrip("/") for name in tf.io.gfile.listdir(features.directory)} - {"backbone.json"}


def test_the_backbone_is_exported_once_and_named(features, exported):
    assert features.prepare_backbone(SETTINGS) == ((2, 2), 3)
    assert features.prepare_backbone(SETTINGS) == ((2, 2), 3)
    assert len(exported[0]) == 1
    assert description(features).name == "MobileNet"
    assert saved_models(features) == {description(features).saved_model}


def test_a_backbone_is_on_the_disk_before_it_is_named(features, exported, monkeypatch):
    synced = []
    monkeypatch.setattr(
        storage, "sync_tree", lambda path: synced.append((path, os.path.exists(f"{features.directory}/backbone.json")))
    )
    features.prepare_backbone(SETTINGS)
    assert synced == [(f"{features.directory}/{description(features).saved_model}", False)]


@pytest.mark.parametrize("file", ["backbone.json", "saved_model.pb"])
@pytest.mark.parametrize("kind", ["empty", "cut", "zeros", "gone"])
def test_a_damaged_backbone_is_exported_again_where_features_are_left(features, exported, one_shard, file, kind):
    features.prepare_backbone(SETTINGS)
    features.restore_backbone(SETTINGS)
    assert len(exported[0]) == 1
    path = f"{features.directory}/{file}"
    if file == "saved_model.pb":
        path = f"{features.directory}/{description(features).saved_model}/{file}"
    with open(path, "rb") as damaged:
        content = damaged.read()
    if kind == "gone":
        os.remove(path)
    else:
        with open(path, "wb") as damaged:
            damaged.write({"empty": b"", "cut": content[:-2], "zeros": bytes(len(content))}[kind])
    generation = features.generation()
    features.restore_backbone(SETTINGS)
    assert len(exported[0]) == 2 and features.backbone() == description(features)
    assert features.generation() == generation and set(features.index()) == {"one", "two"}


def test_without_features_a_backbone_is_left_to_the_extractor(features, exported):
    features.restore_backbone(SETTINGS)
    assert exported[0] == []


def test_an_unnamed_backbone_of_a_killed_run_does_not_count(features, exported):
    features.prepare_backbone(SETTINGS)
    tf.io.gfile.remove(f"{features.directory}/backbone.json")
    assert features.prepare_backbone(SETTINGS) == ((2, 2), 3)
    assert len(exported[0]) == 2
    assert description(features).saved_model in saved_models(features)


@pytest.mark.parametrize("content", ["", "[]", '{"saved_model": "../elsewhere"}', '{"saved_model": "backbone-gone"}'])
def test_a_half_written_backbone_is_exported_again(features, exported, content):
    features.prepare_backbone(SETTINGS)
    elsewhere = f"{features.directory}/../elsewhere"
    tf.io.gfile.makedirs(elsewhere)
    write(f"{elsewhere}/saved_model.pb")
    write(f"{features.directory}/backbone.json", content)
    assert features.prepare_backbone(SETTINGS) == ((2, 2), 3)
    assert len(exported[0]) == 2
    assert features.backbone() == description(features)


def test_the_first_of_two_concurrent_exports_serves_both(features, exported):
    directories, meanwhile = exported
    answers = []

    def other_run():
        meanwhile.clear()
        answers.append(FeatureStore(features.directory).prepare_backbone(SETTINGS))
        answers.append(description(features))

    meanwhile.append(other_run)
    answers.append(features.prepare_backbone(SETTINGS))
    assert len(directories) == 2
    assert answers[0] == answers[2] == ((2, 2), 3)
    assert description(features) == answers[1]
    assert saved_models(features) == {answers[1].saved_model}


def test_two_backbones_named_at_the_same_moment_both_stay(features, exported, monkeypatch):
    write, named = storage.write_json, []

    def write_after_another(path, text):
        monkeypatch.setattr(storage, "write_json", write)
        FeatureStore(features.directory).prepare_backbone(SETTINGS)
        named.append(description(features).saved_model)
        write(path, text)

    monkeypatch.setattr(storage, "write_json", write_after_another)
    assert features.prepare_backbone(SETTINGS) == ((2, 2), 3)
    assert {*named, description(features).saved_model} == saved_models(features)
