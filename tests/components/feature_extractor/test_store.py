import json
import os
import time

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


def write(path, text=""):
    with open(path, "w") as file:
        file.write(text)


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


def test_a_shard_with_a_broken_record_is_removed(features):
    features.add(["one", "two"], FEATURES)
    features.add(["three"], FEATURES[:1])
    [broken] = {features.index()["one"]}
    with open(f"{features.directory}/{broken}", "r+b") as file:
        file.seek(60)
        byte = file.read(1)
        file.seek(60)
        file.write(bytes([byte[0] ^ 1]))
    assert features.check(["three"]) == []  # what is not wanted is not read
    before = features.identity()
    assert features.check(["two", "three"]) == [broken]
    assert set(features.index()) == {"three"}
    assert features.identity() != before
    assert features.check(["one", "two", "three"]) == []
    assert len(shards(features)) == len(shards(features, "json")) == 1


@pytest.fixture
def one_shard(features):
    """The paths of a shard of two pictures and of its index."""
    features.add(["one", "two"], FEATURES)
    return shards(features)[0], shards(features, "json")[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda index: b"",  # what a crash of the machine can leave
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
def test_a_damaged_or_forged_index_does_not_count_and_touches_nothing_elsewhere(features, one_shard, change):
    shard, path = one_shard
    with open(shard, "rb") as file, open(f"{features.directory}/../precious.tfrecord", "wb") as precious:
        precious.write(file.read())
    with open(path, "rb") as file:
        index = json.load(file)
    with open(path, "wb") as file:
        file.write(change(index))
    assert features.index() == {}
    assert features.check(["one", "two", "three"]) == []
    features.identity()
    features.clear(features.leftovers(time.time() + 1))
    assert tf.io.gfile.listdir(features.directory) == ["identity"]
    assert os.path.exists(f"{features.directory}/../precious.tfrecord")


def test_an_index_of_another_name_does_not_count(features, one_shard):
    os.rename(one_shard[1], f"{features.directory}/shard-other.json")
    assert features.index() == {}


def test_what_another_run_removes_while_it_is_read_does_not_count(features, one_shard, monkeypatch):
    monkeypatch.setattr(store.tf.io.gfile, "glob", lambda pattern: [f"{features.directory}/shard-gone.json"])
    assert features.index() == {}


def test_a_shard_that_is_removed_while_it_is_checked_is_to_be_computed_again(features, one_shard, monkeypatch):
    [name] = {features.index()["one"]}
    length = FeatureStore._length

    def remove_after(self, shard):
        found = length(self, shard)
        tf.io.gfile.remove(one_shard[0])
        return found

    monkeypatch.setattr(FeatureStore, "_length", remove_after)
    assert features.check(["one"]) == [name]


def test_a_shard_that_is_removed_while_it_is_committed_does_not_count(features, monkeypatch):
    rename = tf.io.gfile.rename

    def remove_after(partial, path, overwrite=False):
        rename(partial, path, overwrite=overwrite)
        if path.endswith(".tfrecord"):
            tf.io.gfile.remove(path)

    monkeypatch.setattr(store.tf.io.gfile, "rename", remove_after)
    features.add(["one", "two"], FEATURES)
    assert features.index() == {}


def test_of_a_broken_shard_that_another_run_has_mended_meanwhile_the_new_one_stays(features, monkeypatch):
    names = []
    for sha256 in ("one", "two"):
        features.add([sha256], FEATURES[:1])
        names.append(features.index()[sha256])
        with open(f"{features.directory}/{names[-1]}", "r+b") as file:
            file.write(b"broken")
    sound = FeatureStore._are_sound

    def mend(self, used):
        if [shard.file for shard in used] == sorted(names)[1:]:  # the first was found broken and is removed
            for sha256, name in zip(("one", "two"), names, strict=True):
                if name == sorted(names)[0]:
                    self.add([sha256], FEATURES[:1])
        return sound(self, used)

    monkeypatch.setattr(FeatureStore, "_are_sound", mend)
    assert features.check(["one", "two"]) == sorted(names)
    assert set(features.index().values()) == {sorted(names)[0]}


@pytest.mark.parametrize("damage", ["cut", "remove"])
def test_a_shard_that_was_cut_or_removed_renews_the_identity(features, one_shard, damage):
    first = features.identity()
    if damage == "cut":
        os.truncate(one_shard[0], 20)
    else:
        os.remove(one_shard[0])
    second = features.identity()
    assert second != first  # or a cached manifest would send the Trainer to it
    assert features.identity() == second


def test_leftovers_of_killed_runs_are_told_from_what_counts_and_what_is_young(features, one_shard, exported):
    features.prepare_backbone(SETTINGS)
    features.identity()
    for name in (
        ".shard-1.tfrecord.0a.partial",
        ".shard-1.json.0a.partial",
        ".backbone.json.0a.partial",
        ".identity.0a.partial",
        "shard-1.tfrecord",
        "shard-2.json",
        "notes.txt",
        ".notes.partial",
    ):
        write(f"{features.directory}/{name}", "12345")
    for name in (".backbone-0a.partial", "backbone-0a"):
        os.makedirs(f"{features.directory}/{name}/variables")
        write(f"{features.directory}/{name}/variables/index", "12345678")
    assert features.leftovers(time.time() - 60) == {}
    found = features.leftovers(time.time() + 60)
    assert set(found.values()) == {5, 8}
    features.clear(found)
    features.clear(found)  # another was faster
    kept = {"notes.txt", ".notes.partial", "identity", "backbone.json", known(features)["saved_model"]}
    kept |= {os.path.basename(path) for path in one_shard}
    assert set(os.listdir(features.directory)) == kept


def test_what_another_run_has_removed_can_be_removed(features):
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


def test_the_identity_stays_until_the_directory_goes(features):
    first = features.identity()
    assert features.identity() == first
    tf.io.gfile.rmtree(features.directory)
    assert features.identity() != first


SETTINGS = backbones.BackboneSettings("MobileNet", "random", 32)


@pytest.fixture
def exported(monkeypatch):
    """Stands for the real export, which has tests of its own: notes the directories, and what happens meanwhile."""
    directories, meanwhile = [], []

    def export(settings, directory):
        directories.append(directory)
        tf.io.gfile.makedirs(directory)
        write(f"{directory}/saved_model.pb")
        for step in meanwhile:
            step()
        return (2, 2), 3

    monkeypatch.setattr(store.export, "export", export)
    return directories, meanwhile


def known(features):
    return json.loads(tf.io.gfile.GFile(f"{features.directory}/backbone.json").read())


def saved_models(features):
    return {name.rstrip("/") for name in tf.io.gfile.listdir(features.directory)} - {"backbone.json"}


def test_the_backbone_is_exported_once_and_named(features, exported):
    assert features.prepare_backbone(SETTINGS) == ((2, 2), 3)
    assert features.prepare_backbone(SETTINGS) == ((2, 2), 3)
    assert len(exported[0]) == 1
    assert known(features)["name"] == "MobileNet"
    assert saved_models(features) == {known(features)["saved_model"]}


def test_a_backbone_whose_run_was_killed_before_it_was_named_does_not_count(features, exported):
    features.prepare_backbone(SETTINGS)
    tf.io.gfile.remove(f"{features.directory}/backbone.json")
    assert features.prepare_backbone(SETTINGS) == ((2, 2), 3)
    assert len(exported[0]) == 2
    assert known(features)["saved_model"] in saved_models(features)


@pytest.mark.parametrize("left", ["", "[]", '{"saved_model": "../elsewhere"}', '{"saved_model": "backbone-gone"}'])
def test_what_a_crash_has_left_of_a_backbone_is_exported_again(features, exported, left):
    features.prepare_backbone(SETTINGS)
    elsewhere = f"{features.directory}/../elsewhere"
    tf.io.gfile.makedirs(elsewhere)
    write(f"{elsewhere}/saved_model.pb")
    write(f"{features.directory}/backbone.json", left)
    assert features.prepare_backbone(SETTINGS) == ((2, 2), 3)
    assert len(exported[0]) == 2
    assert features.backbone() == known(features)


def test_of_two_runs_that_export_at_once_the_second_takes_the_firsts(features, exported):
    directories, meanwhile = exported
    answers = []

    def other_run():
        meanwhile.clear()
        answers.append(FeatureStore(features.directory).prepare_backbone(SETTINGS))
        answers.append(known(features))

    meanwhile.append(other_run)
    answers.append(features.prepare_backbone(SETTINGS))
    assert len(directories) == 2
    assert answers[0] == answers[2] == ((2, 2), 3)
    assert known(features) == answers[1]
    assert saved_models(features) == {answers[1]["saved_model"]}


def test_a_run_that_names_its_backbone_in_the_same_moment_leaves_the_others_in_place(features, exported, monkeypatch):
    write, named = store.write_text, []

    def write_after_another(path, text):
        monkeypatch.setattr(store, "write_text", write)
        FeatureStore(features.directory).prepare_backbone(SETTINGS)
        named.append(known(features)["saved_model"])
        write(path, text)

    monkeypatch.setattr(store, "write_text", write_after_another)
    assert features.prepare_backbone(SETTINGS) == ((2, 2), 3)
    assert {*named, known(features)["saved_model"]} == saved_models(features)
