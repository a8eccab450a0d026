import io
import os
import time

import numpy as np
import pytest
import tensorflow as tf
from ml_metadata.proto import metadata_store_pb2
from rich.console import Console
from tfx.orchestration import metadata

from components.feature_extractor import export
from components.feature_extractor.settings import FeatureExtractorSettings
from components.feature_extractor.store import FeatureStore
from components.shared import records, storage
from components.shared.backbone_description import BackboneDescription
from components.shared.features import Manifest
from pipeline import feature_store
from pipeline.errors import UserError
from pipeline.feature_store import Usage
from pipeline.paths import Paths
from tests.fake_mlmd import PIPELINE, FakeMlmd, memory_connection

DAY = 24 * 3600


@pytest.fixture
def store(tmp_path):
    """Two fingerprints: one with an old and a young shard, one with an old shard."""
    for name, backbone in (("print-a", "InceptionV3"), ("print-b", "MobileNet")):
        directory = tmp_path / "features" / name
        directory.mkdir(parents=True)
        BackboneDescription(backbone, "random", 32, "backbone-0a", (2, 2), 3).write(str(directory))
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


def usages_of(store, usage=None):
    return list(feature_store.usage_of(store, usage or Usage(), DAY))


def test_unused_features_in_a_bucket_are_deleted(bucket, monkeypatch):
    store_dir, feature = f"{bucket}/features", np.zeros((1, 4, 3), np.float16)
    store = FeatureStore(f"{store_dir}/print-a")
    storage.write_text(f"{store.directory}/backbone-0a/saved_model.pb", "graph")
    BackboneDescription("MobileNet", "random", 32, "backbone-0a", (2, 2), 3).write(store.directory)
    for sha256 in ("used", "unused"):
        store.add([sha256], feature)
    storage.write_text(f"{store.directory}/shard-1.tfrecord", "of a killed run")
    first, name = store.generation(), store.index()["used"]
    usage = Usage(frozenset({("print-a", name)}))
    assert not dict(feature_store.deletions(usages_of(store_dir, usage)))  # all is young
    tomorrow = time.time() + 2 * DAY
    monkeypatch.setattr(feature_store.time, "time", lambda: tomorrow)
    [found] = usages_of(store_dir, usage)
    unused = store.index()["unused"]
    assert [shard.file for shard in found.used] == [name] and found.backbone == "MobileNet 32 px, random"
    assert dict(feature_store.deletions([found])).keys() == {
        f"{store.directory}/{unused}", f"{store.directory}/shard-1.tfrecord",
    }  # fmt: skip
    feature_store.prune([found])
    assert store.index() == {"used": name} and store.generation() != first and store.backbone() is not None
    feature_store.prune(usages_of(store_dir))  # nothing is in use any more
    assert storage.list_files(store_dir) == []


def test_shards_that_are_in_use_or_young_are_used(store):
    [one, other] = usages_of(store)
    assert [shard.sha256 for shard in one.used] == [("young",)]
    assert [shard.sha256 for shard in one.unused] == [("old",)]
    assert other.backbone == "MobileNet 32 px, random"
    name = other.unused[0].file
    for usage in (Usage(frozenset({("print-b", name)})), Usage(images=frozenset({"alone"}))):
        [_, other] = usages_of(store, usage)
        assert [shard.sha256 for shard in other.used] == [("alone",)]
        assert not other.unused
    [_, other] = usages_of(store, Usage(frozenset({("print-a", name)})))  # of another fingerprint
    assert other.unused


def test_pruning_keeps_what_is_used_and_starts_a_new_generation(store):
    before = usages_of(store)
    generations = [usage.store.generation() for usage in before]
    freed = feature_store.prune(before)
    assert freed == sum(shard.bytes for usage in before for shard in usage.unused) > 0
    after = usages_of(store)
    assert [set(usage.store.index()) for usage in after] == [{"young"}, set()]
    assert not {usage.store.generation() for usage in after} & set(generations)
    assert feature_store.prune(after) == 0


@pytest.fixture
def old_backbones(store, tmp_path):
    """Their SavedModels, of 1,000 bytes each."""
    made = sorted(tmp_path.glob("features/*/backbone-0a/saved_model.pb"))
    for path in made:
        path.write_bytes(bytes(1000))
        for each in (path, path.parent):
            os.utime(each, (1, 1))
    return made


def test_a_backbone_whose_features_are_all_unused_is_deleted_and_exported_again(store, old_backbones, monkeypatch):
    [one, other] = usages_of(store)
    [shard], generation = other.unused, other.store.generation()
    assert (one.backbone_bytes, other.backbone_bytes) == (1000, 1000)
    assert one.reclaimable_bytes == sum(each.bytes for each in one.unused)  # it has a young shard
    assert other.reclaimable_bytes == shard.bytes + 1000
    assert feature_store.prune([other]) == other.reclaimable_bytes
    assert not os.listdir(other.store.directory)
    assert [usage.store for usage in usages_of(store)] == [one.store]

    def exported(settings, directory):
        os.makedirs(directory)
        open(os.path.join(directory, "saved_model.pb"), "w").close()
        return (2, 2), 3

    monkeypatch.setattr(export, "export", exported)
    assert other.store.generation() != generation  # or a cached manifest would send the Trainer to it
    assert other.store.prepare_backbone(FeatureExtractorSettings("MobileNet", "random", 32)) == ((2, 2), 3)
    assert usages_of(store)[1].backbone_bytes == 0 and usages_of(store)[1].reclaimable_bytes == 0


def test_a_backbone_whose_features_were_deleted_before_is_deleted(store, old_backbones):
    [_, other] = usages_of(store)
    other.store.remove([shard.file for shard in other.unused])
    [_, other] = usages_of(store)
    assert (other.unused, other.reclaimable_bytes) == ((), 1000)
    assert feature_store.prune([other]) == 1000
    assert not os.listdir(other.store.directory)


@pytest.mark.parametrize("why", ["a run", "an extraction", "young", "something is written"])
def test_a_backbone_that_may_be_in_use_is_kept(store, old_backbones, why):
    in_use = Usage()
    if why == "a run":
        in_use = Usage(frozenset({("print-b", "lost.tfrecord")}))
    elif why == "an extraction":
        in_use = Usage(images=frozenset({"none has features yet"}))
    elif why == "young":
        os.utime(old_backbones[1])
    else:
        (old_backbones[1].parent.parent / ".shard-1.tfrecord.0a.partial").touch()
    [_, other] = usages_of(store, in_use)
    feature_store.prune([other])
    assert other.store.backbone() and not other.store.shards()
    assert other.reclaimable_bytes == sum(shard.bytes for shard in other.unused) > 0


def test_orphans_are_counted_and_deleted(store, tmp_path):
    for directory in ("print-a", "print-c"):  # the last was killed when it exported its backbone
        (tmp_path / "features" / directory).mkdir(exist_ok=True)
        (tmp_path / "features" / directory / "generation").write_text("x")
        orphan = tmp_path / "features" / directory / ".shard-1.tfrecord.0a.partial"
        orphan.write_bytes(bytes(1000))
        os.utime(orphan, (1, 1))
    one, _, last = usages_of(store)
    assert one.reclaimable_bytes == sum(shard.bytes for shard in one.unused) + 1000
    assert (last.reclaimable_bytes, last.backbone) == (1000, "none yet")
    feature_store.prune([one, last])
    assert not list(tmp_path.glob("features/*/.*"))


@pytest.mark.parametrize("left", ["without the backbone's name", "the generation alone"])
def test_what_an_interrupted_deletion_has_left_is_deleted(store, old_backbones, left):
    directory = old_backbones[1].parent.parent
    (directory / "backbone.json").unlink()
    [_, other] = usages_of(store)
    assert other.backbone == "none yet" and len(other.unused) == 1
    if left == "the generation alone":
        other.store.remove([shard.file for shard in other.unused])
        other.store.remove_orphans(["backbone-0a"])
        os.utime(directory / "generation", (1, 1))
        [_, other] = usages_of(store)
    feature_store.prune([other])
    assert os.listdir(directory) == [] and len(usages_of(store)) == 1


def test_the_first_files_of_a_run_that_has_just_started_are_kept(store, tmp_path):
    FeatureStore(str(tmp_path / "features" / "print-c")).generation()
    [*_, last] = usages_of(store)
    feature_store.prune([last])
    assert os.listdir(last.store.directory) == ["generation"]


def test_directories_of_others_are_left_alone(store, tmp_path):
    (tmp_path / "features" / "notes").mkdir()
    (tmp_path / "features" / "notes" / "readme.txt").touch()
    assert len(usages_of(store)) == 2


def test_what_came_into_use_while_the_question_was_open_is_kept(store, old_backbones):
    before = usages_of(store)
    [shard] = before[1].unused
    now = feature_store.still_unused(usages_of(store, Usage(frozenset({("print-b", shard.file)}))), before)
    assert now[0].unused == before[0].unused and now[1].unused == () and now[1].orphans == {}
    now = feature_store.still_unused(before, [before[0]])  # nor is anything deleted that nobody agreed to
    assert now[1].unused == () and now[1].reclaimable_bytes == 0


def test_the_table_counts_images_and_bytes(store):
    stream = io.StringIO()
    Console(file=stream, width=160).print(feature_store.table(usages_of(store), 10))
    [_, one, other] = stream.getvalue().splitlines()
    assert one.split()[:6] == ["InceptionV3", "32", "px,", "random", "2", "2"]
    assert "1 images" in one
    assert other.split()[-1] == "print-b"


def test_the_size_includes_the_backbone(store, old_backbones):
    old_backbones[1].write_bytes(bytes(3 * 2**20))
    stream = io.StringIO()
    Console(file=stream, width=160).print(feature_store.table(usages_of(store), 10))
    assert stream.getvalue().splitlines()[2].split()[4:8] == ["1", "1", "3.0", "MiB"]


def test_everything_that_pruning_deletes_is_listed_before(store, old_backbones):
    usages_of(store)[1].store.generation()  # which a run that uses the store writes
    usages = usages_of(store)
    deletions = dict(feature_store.deletions(usages))
    assert sum(deletions.values()) == sum(usage.reclaimable_bytes for usage in usages)
    assert os.path.dirname(old_backbones[1]) in deletions and all(map(os.path.exists, deletions))
    feature_store.prune(usages)
    assert not any(map(os.path.exists, deletions))


def test_a_root_where_nothing_has_run_is_refused(store, tmp_path):
    with pytest.raises(UserError, match=f"nothing has run in {tmp_path} yet"):
        feature_store.read_usage(store, [Paths(str(tmp_path)).metadata_uri], 10)


def test_a_negative_number_of_runs_is_refused(store, tmp_path):
    with pytest.raises(UserError, match="--keep-last -1: must be 0 or more"):
        feature_store.read_usage(store, [Paths(str(tmp_path)).metadata_uri], -1)


def test_a_database_without_runs_uses_nothing(store, tmp_path):
    with metadata.Metadata(memory_connection()) as handle:
        assert feature_store.used_by_runs(handle, 10, time.time()) == Usage()


class Runs:
    """Runs that each have features in a shard of the run's name."""

    def __init__(self, root):
        self.root, self.mlmd = root, FakeMlmd()

    def extract(self, run):
        uri = self.root / "artifacts" / run
        Manifest("print", "/where/it/was", (2, 2), 3, {run: {"a.jpg": "sha"}}).save(str(uri))
        features = self.mlmd.artifact("captions.Features", str(uri))
        self.mlmd.execute("FeatureExtractor", {}, {"features": features}, run)
        time.sleep(0.002)  # the order of runs is that of their milliseconds

    def usage(self, keep_last, after=3600.0):
        """The usage of the last runs, some seconds from now."""
        return feature_store.used_by_runs(self.mlmd, keep_last, time.time() + after)

    def shards(self, keep_last, after=3600.0):
        return {shard for _, shard in self.usage(keep_last, after).shards}


@pytest.fixture
def runs(tmp_path):
    made = Runs(tmp_path)
    for run in ("one", "two", "three"):
        made.extract(run)
    return made


def test_the_last_runs_use_what_their_manifests_name_wherever_the_store_is_now(runs):
    assert runs.usage(2) == Usage(frozenset({("print", "two"), ("print", "three")}))
    assert runs.shards(0) == set()


def test_a_run_whose_trainer_is_running_counts_although_later_runs_are_kept(runs):
    runs.mlmd.execute("Trainer", {}, {}, "one", metadata_store_pb2.Execution.RUNNING)
    assert runs.shards(1) == {"one", "three"}
    assert runs.shards(1, after=8 * DAY) == {"three"}  # it was killed


def test_a_run_between_two_steps_counts(runs):
    assert runs.shards(1, after=1) == {"one", "two", "three"}


def test_features_that_an_extraction_in_progress_uses_are_kept_although_they_are_old(runs, tmp_path):
    split = tmp_path / "examples" / "Split-train"
    split.mkdir(parents=True)
    example = tf.train.Example()
    example.features.feature[records.SHA256].bytes_list.value.append(b"in use")
    with tf.io.TFRecordWriter(str(split / "part"), "GZIP") as writer:
        writer.write(example.SerializeToString())
    examples = runs.mlmd.artifact("Examples", str(tmp_path / "examples"))
    running = metadata_store_pb2.Execution.RUNNING
    runs.mlmd.execute("FeatureExtractor", {"examples": examples}, {}, "four", running)
    assert runs.usage(1).images == {"in use"}
    assert runs.usage(1, after=8 * DAY).images == set()  # it was killed


def test_a_run_that_has_lost_a_shard_still_uses_the_others(runs):
    # `Manifest.load` refuses it; the next run computes what is lost, and uses the rest
    manifest = Manifest("print", "/where/it/was", (2, 2), 3, {"lost": {"a.jpg": "sha"}, "kept": {"b.jpg": "sha b"}})
    manifest.save(str(runs.root / "artifacts" / "three"))
    assert runs.shards(1) == {"lost", "kept"}


def test_a_deleted_artifact_uses_nothing(runs):
    tf.io.gfile.rmtree(str(runs.root / "artifacts" / "three"))
    assert runs.shards(2) == {"two"}


@pytest.mark.parametrize("content", ["", "[]", "{}", "null"])
def test_a_damaged_manifest_is_refused_until_a_later_run_has_written_a_new_one(runs, content):
    path = runs.root / "artifacts" / "three" / "manifest.json"
    path.write_text(content)
    with pytest.raises(UserError, match=f"{path} is damaged: run the pipeline again first"):
        runs.shards(2)
    runs.extract("four")  # the damaged manifest stays where it is, and is not reused from the cache
    assert runs.shards(2) == {"four"}
    assert runs.shards(3) == {"two", "four"}


def test_if_all_artifacts_are_gone_nothing_counts_as_unused(runs):
    os.rename(runs.root / "artifacts", runs.root / "moved")
    with pytest.raises(UserError, match=f"the features artifacts of {PIPELINE} are gone"):
        runs.usage(3)
