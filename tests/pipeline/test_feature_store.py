import io
import json
import os
import time

import numpy as np
import pytest
import tensorflow as tf
from ml_metadata.proto import metadata_store_pb2
from rich.console import Console
from tfx.orchestration import metadata

from components import records
from components.feature_extractor import backbones, export
from components.feature_extractor.store import FeatureStore
from components.features import Manifest
from pipeline import feature_store
from pipeline.feature_store import Need
from tests.past import Past

DAY = 24 * 3600


@pytest.fixture
def store(tmp_path):
    """Two fingerprints: one with an old and a young shard, one with an old shard."""
    for name, backbone in (("print-a", "InceptionV3"), ("print-b", "MobileNet")):
        directory = tmp_path / "features" / name
        directory.mkdir(parents=True)
        known = {"name": backbone, "size": 32, "weights": "random", "saved_model": "backbone-0a"}
        (directory / "backbone.json").write_text(json.dumps(known))
        (directory / "backbone-0a").mkdir()
        (directory / "backbone-0a" / "saved_model.pb").touch()
    one, other = FeatureStore(str(tmp_path / "features/print-a")), FeatureStore(str(tmp_path / "features/print-b"))
    feature = np.zeros((1, 4, 3), np.float16)
    for features, sha256 in ((one, "old"), (one, "young"), (other, "alone")):
        features.add([sha256], feature)
        path = os.path.join(features.directory, features.index()[sha256])
        if sha256 != "young":
            os.utime(path, (1, 1))
    return str(tmp_path / "features")


def found(store, needed=None):
    return list(feature_store.holdings(store, needed or Need(), DAY))


def test_what_no_run_needs_is_told_from_what_is_young_or_needed(store):
    [one, other] = found(store)
    assert [shard.sha256 for shard in one.needed] == [{"young"}]
    assert [shard.sha256 for shard in one.unneeded] == [{"old"}]
    assert other.backbone == "MobileNet 32 px, random"
    name = other.unneeded[0].file
    for need in (Need(frozenset({("print-b", name)})), Need(pictures=frozenset({"alone"}))):
        [_, other] = found(store, need)
        assert [shard.sha256 for shard in other.needed] == [{"alone"}]
        assert not other.unneeded
    [_, other] = found(store, Need(frozenset({("print-a", name)})))  # of another fingerprint
    assert other.unneeded


def test_dropping_keeps_what_is_needed_and_renews_the_identity(store):
    before = found(store)
    identities = [holding.store.identity() for holding in before]
    freed = feature_store.drop(before)
    assert freed == sum(shard.bytes for holding in before for shard in holding.unneeded) > 0
    after = found(store)
    assert [set(holding.store.index()) for holding in after] == [{"young"}, set()]
    assert not {holding.store.identity() for holding in after} & set(identities)
    assert feature_store.drop(after) == 0


@pytest.fixture
def old_backbones(store, tmp_path):
    """Their SavedModels, of 1,000 bytes each."""
    made = sorted(tmp_path.glob("features/*/backbone-0a/saved_model.pb"))
    for path in made:
        path.write_bytes(bytes(1000))
        for each in (path, path.parent):
            os.utime(each, (1, 1))
    return made


def test_a_backbone_without_features_goes_with_them_and_is_exported_again(store, old_backbones, monkeypatch):
    [one, other] = found(store)
    [shard], identity = other.unneeded, other.store.identity()
    assert (one.model, other.model) == (1000, 1000)
    assert one.freed == sum(each.bytes for each in one.unneeded)  # it has a young shard
    assert other.freed == shard.bytes + 1000
    assert feature_store.drop([other]) == other.freed
    assert not os.listdir(other.store.directory)
    assert [holding.store for holding in found(store)] == [one.store]

    def exported(settings, directory):
        os.makedirs(directory)
        open(os.path.join(directory, "saved_model.pb"), "w").close()
        return (2, 2), 3

    monkeypatch.setattr(export, "export", exported)
    assert other.store.identity() != identity  # or a cached manifest would send the Trainer to it
    assert other.store.prepare_backbone(backbones.BackboneSettings("MobileNet", "random", 32)) == ((2, 2), 3)
    assert found(store)[1].model == 0 and found(store)[1].freed == 0


def test_a_backbone_goes_also_where_its_features_went_before(store, old_backbones):
    [_, other] = found(store)
    other.store.remove([shard.file for shard in other.unneeded])
    [_, other] = found(store)
    assert (other.unneeded, other.freed) == ((), 1000)
    assert feature_store.drop([other]) == 1000
    assert not os.listdir(other.store.directory)


@pytest.mark.parametrize("why", ["a run", "an extraction", "young", "something is written"])
def test_a_backbone_that_may_be_in_use_stays(store, old_backbones, why):
    needed = Need()
    if why == "a run":
        needed = Need(frozenset({("print-b", "lost.tfrecord")}))
    elif why == "an extraction":
        needed = Need(pictures=frozenset({"none has features yet"}))
    elif why == "young":
        os.utime(old_backbones[1])
    else:
        (old_backbones[1].parent.parent / ".shard-1.tfrecord.0a.partial").touch()
    [_, other] = found(store, needed)
    feature_store.drop([other])
    assert other.store.backbone() and not other.store.shards()
    assert other.freed == sum(shard.bytes for shard in other.unneeded) > 0


def test_leftovers_are_counted_and_dropped(store, tmp_path):
    for directory in ("print-a", "print-c"):  # the last was killed when it exported its backbone
        (tmp_path / "features" / directory).mkdir(exist_ok=True)
        (tmp_path / "features" / directory / "identity").write_text("x")
        leftover = tmp_path / "features" / directory / ".shard-1.tfrecord.0a.partial"
        leftover.write_bytes(bytes(1000))
        os.utime(leftover, (1, 1))
    one, _, last = found(store)
    assert one.freed == sum(shard.bytes for shard in one.unneeded) + 1000
    assert (last.freed, last.backbone) == (1000, "none yet")
    feature_store.drop([one, last])
    assert not list(tmp_path.glob("features/*/.*"))


def test_the_table_counts_pictures_and_bytes(store):
    stream = io.StringIO()
    Console(file=stream, width=160).print(feature_store.table(found(store), 10))
    [_, one, other] = stream.getvalue().splitlines()
    assert one.split()[:6] == ["InceptionV3", "32", "px,", "random", "2", "2"]
    assert "1 pictures" in one
    assert other.split()[-1] == "print-b"


def test_the_size_is_that_of_features_and_backbone(store, old_backbones):
    old_backbones[1].write_bytes(bytes(3 * 2**20))
    stream = io.StringIO()
    Console(file=stream, width=160).print(feature_store.table(found(store), 10))
    assert stream.getvalue().splitlines()[2].split()[4:8] == ["1", "1", "3.0", "MiB"]


def test_a_root_where_nothing_has_run_is_said(store, tmp_path):
    with pytest.raises(ValueError, match=f"nothing has run in {tmp_path} yet"):
        feature_store.find(store, [str(tmp_path)], 10)


@pytest.mark.parametrize("last", [-1])
def test_a_number_of_runs_is_wanted(store, tmp_path, last):
    with pytest.raises(ValueError, match="--last -1"):
        feature_store.find(store, [str(tmp_path)], last)


def test_a_database_without_runs_needs_nothing(store, tmp_path):
    fake = metadata_store_pb2.ConnectionConfig(fake_database=metadata_store_pb2.FakeDatabaseConfig())
    with metadata.Metadata(fake) as handle:
        assert feature_store.needed_by(handle, 10, time.time()) == Need()


class Runs:
    """Runs that each have features in a shard of the run's name."""

    def __init__(self, root):
        self.root, self.past = root, Past()

    def extract(self, run):
        uri = self.root / "artifacts" / run
        Manifest("print", "/where/it/was", (2, 2), 3, {run: {"a.jpg": "sha"}}).save(str(uri))
        self.past.execute("FeatureExtractor", {}, {"features": self.past.artifact("captions.Features", str(uri))}, run)
        time.sleep(0.002)  # the order of runs is that of their milliseconds

    def needed(self, last, after=3600.0):
        """Of the last runs, so many seconds after they were made."""
        return feature_store.needed_by(self.past, last, time.time() + after)

    def shards(self, last, after=3600.0):
        return {shard for _, shard in self.needed(last, after).shards}


@pytest.fixture
def runs(tmp_path):
    made = Runs(tmp_path)
    for run in ("one", "two", "three"):
        made.extract(run)
    return made


def test_the_last_runs_need_what_their_manifests_name_wherever_the_store_is_now(runs):
    assert runs.needed(2) == Need(frozenset({("print", "two"), ("print", "three")}))
    assert runs.shards(0) == set()


def test_a_run_whose_trainer_runs_counts_however_many_came_after_it(runs):
    runs.past.execute("Trainer", {}, {}, "one", metadata_store_pb2.Execution.RUNNING)
    assert runs.shards(1) == {"one", "three"}
    assert runs.shards(1, after=8 * DAY) == {"three"}  # it was killed


def test_a_run_between_two_steps_counts(runs):
    assert runs.shards(1, after=1) == {"one", "two", "three"}


def test_what_an_extraction_needs_that_goes_on_is_kept_however_old(runs, tmp_path):
    split = tmp_path / "examples" / "Split-train"
    split.mkdir(parents=True)
    example = tf.train.Example()
    example.features.feature[records.SHA256].bytes_list.value.append(b"wanted")
    with tf.io.TFRecordWriter(str(split / "part"), "GZIP") as writer:
        writer.write(example.SerializeToString())
    examples = runs.past.artifact("Examples", str(tmp_path / "examples"))
    running = metadata_store_pb2.Execution.RUNNING
    runs.past.execute("FeatureExtractor", {"examples": examples}, {}, "four", running)
    assert runs.needed(1).pictures == {"wanted"}
    assert runs.needed(1, after=8 * DAY).pictures == set()  # it was killed


def test_a_run_that_has_lost_a_shard_still_needs_the_others(runs):
    # `Manifest.load` refuses it; a run that goes on from there computes what is lost, and takes the rest
    manifest = Manifest("print", "/where/it/was", (2, 2), 3, {"lost": {"a.jpg": "sha"}, "kept": {"b.jpg": "sha b"}})
    manifest.save(str(runs.root / "artifacts" / "three"))
    assert runs.shards(1) == {"lost", "kept"}


def test_an_artifact_that_somebody_has_removed_needs_nothing(runs):
    tf.io.gfile.rmtree(str(runs.root / "artifacts" / "three"))
    assert runs.shards(2) == {"two"}


def test_where_all_artifacts_are_gone_nothing_is_taken_for_unneeded(runs):
    os.rename(runs.root / "artifacts", runs.root / "moved")
    with pytest.raises(ValueError, match=r"none of the features artifacts of mine is there"):
        runs.needed(3)
