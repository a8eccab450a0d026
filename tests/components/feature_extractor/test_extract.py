import concurrent.futures
import hashlib
import json
import logging
import signal
import subprocess
import sys

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from components import scenes
from components.feature_extractor import backbones, extract
from components.feature_extractor.extract import FeaturesGone, Picture, PictureChanged
from components.feature_extractor.store import FeatureStore
from components.features import Backbone, Manifest

TINY = backbones.BackboneSettings("MobileNet", "random", 32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A store's directory with nothing but the backbone."""
    directory = tmp_path_factory.mktemp("store")
    FeatureStore(str(directory)).prepare_backbone(TINY)
    return directory


def copy_of(exported, directory):
    """A new store with the same backbone."""
    directory.mkdir()
    for path in exported.glob("backbone*"):
        (directory / path.name).symlink_to(path)
    return FeatureStore(str(directory))


@pytest.fixture
def store(exported, tmp_path):
    return copy_of(exported, tmp_path / "store")


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
    backbone = Backbone(store.directory)
    for picture in wanted.values():
        expected = backbone(tf.constant([extract.read_checked(picture)]))[0].numpy()
        np.testing.assert_allclose(found[picture.sha256], expected, rtol=1e-2, atol=1e-3)


def test_only_what_is_missing_is_computed(store, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "SMALLEST_SHARD", 2)
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
    monkeypatch.setattr(extract, "SMALLEST_SHARD", 1)
    monkeypatch.setattr(extract.random, "shuffle", lambda chunks: None)
    wanted = pictures(tmp_path, range(3))
    (tmp_path / "2.jpg").write_bytes(b"other")
    with pytest.raises(Exception, match="has changed since it was ingested"):
        extract.extract_missing(wanted, store, 32, beam.Pipeline)
    kept = len(store.index())
    wanted |= pictures(tmp_path, [2])
    assert extract.extract_missing(wanted, store, 32, beam.Pipeline) == 3 - kept
    assert set(store.index()) == {picture.sha256 for picture in wanted.values()}


def test_features_that_vanish_during_the_run_are_named(store, tmp_path):
    with pytest.raises(FeaturesGone, match=r"lost the features of 0\.jpg during this run; run again"):
        extract.shards_of(pictures(tmp_path, [0]), store)


def test_a_damaged_shard_is_computed_again(store, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "SMALLEST_SHARD", 2)
    wanted = pictures(tmp_path, range(4))
    extract.extract_missing(wanted, store, 32, beam.Pipeline)
    [damaged, sound] = extract.shards_of(wanted, store)
    before = features_in(store, [damaged, sound])
    path = tmp_path / "store" / damaged
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    assert extract.extract_missing(wanted, store, 32, beam.Pipeline) == 2
    after = features_in(store, extract.shards_of(wanted, store))
    assert set(after) == set(before)
    for sha256, feature in after.items():
        np.testing.assert_array_equal(feature, before[sha256])


def test_two_runs_at_once_are_both_right(store, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "SMALLEST_SHARD", 2)
    wanted = pictures(tmp_path, range(6))
    one, other = dict(list(wanted.items())[:5]), dict(list(wanted.items())[1:])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda part: extract.extract_missing(part, store, 2, beam.Pipeline), [one, other]))
    for part in (one, other):
        shards = extract.shards_of(part, store)
        named = [image_id for held in shards.values() for image_id in held]
        assert sorted(named) == sorted(part)
        assert {picture.sha256 for picture in part.values()} <= set(features_in(store, shards))


RUNNERS = {
    "one call at a time": (1, ["--direct_num_workers=1"]),
    "several at a time": (3, ["--direct_num_workers=1"]),
    "threads": (2, ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]),
}


def test_what_another_run_has_committed_meanwhile_is_not_computed(store, tmp_path):
    wanted = list(pictures(tmp_path, range(5)).values())
    one, other = (extract.ExtractShards(store, 2, store.names()) for _ in range(2))
    for step in (one, other):
        step.setup()
    assert [one._extract(wanted[:3]), other._extract(wanted[1:]), one._extract(wanted)] == [3, 2, 0]
    assert sum(map(len, (shard.sha256 for shard in store.shards()))) == 5
    one.teardown()
    other.teardown()


def test_two_runs_at_once_compute_little_twice(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "SMALLEST_SHARD", 1)
    wanted = pictures(tmp_path, range(24))
    lists = [dict(list(wanted.items())[:20]), dict(list(wanted.items())[3:])]  # whose shards are other ones
    store = copy_of(exported, tmp_path / "store")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        computed = list(pool.map(lambda part: extract.extract_missing(part, store, 2, beam.Pipeline), lists))
    assert 24 <= sum(len(shard.sha256) for shard in store.shards()) <= sum(computed) < 36


def test_the_same_pictures_elsewhere_under_other_names_are_known(store, tmp_path):
    extract.extract_missing(pictures(tmp_path, range(3)), store, 2, beam.Pipeline)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    renamed = {f"of another run {name}": picture for name, picture in pictures(elsewhere, range(3)).items()}
    assert extract.extract_missing(renamed, store, 16, beam.Pipeline) == 0
    assert sum(map(len, extract.shards_of(renamed, store).values())) == 3


def test_of_a_large_shard_one_batch_is_held_at_a_time(store, tmp_path, monkeypatch):
    step = extract.ExtractShards(store, 2, store.names())
    step.setup()
    calls, real = [], step._backbone
    monkeypatch.setattr(step, "_backbone", lambda encoded: calls.append(len(encoded)) or real(encoded))
    features = step._features(list(pictures(tmp_path, range(5)).values()))
    seen = [len(calls) for _ in features]
    assert (seen, calls) == ([1, 1, 2, 2, 3], [2, 2, 1])
    step.teardown()


@pytest.mark.parametrize(("count", "size"), [(1, 4), (50, 4), (300, 12), (1000, 16), (8000, 100), (100_000, 512)])
def test_shards_are_whole_batches_of_which_a_killed_run_loses_less_than_a_tenth(count, size):
    assert extract.shard_size(count, 16) == size
    assert extract.CONCURRENT * size <= count / 10 or count < 80


def test_features_are_the_same_to_the_bit_with_any_number_of_workers(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "SMALLEST_SHARD", 2)
    wanted = pictures(tmp_path, range(6))
    found = []
    for name, (concurrent_shards, arguments) in RUNNERS.items():
        monkeypatch.setattr(extract, "CONCURRENT", concurrent_shards)
        store = copy_of(exported, tmp_path / name)
        extract.extract_missing(wanted, store, 2, lambda arguments=arguments: beam.Pipeline(argv=arguments))
        found.append(features_in(store, extract.shards_of(wanted, store)))
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for sha256, feature in other.items():
            np.testing.assert_array_equal(feature, found[0][sha256])


HALF_A_RUN = """
import json, os, signal, sys
import apache_beam as beam
from components.feature_extractor import extract, store

directory, half, pictures = json.loads(sys.argv[1])
done, call = [], extract.Backbone.__call__

def dying(self, encoded):
    features = call(self, encoded)
    done.extend([None] * len(encoded))
    if len(done) >= half:
        os.kill(os.getpid(), signal.SIGKILL)
    return features

extract.Backbone.__call__ = dying
wanted = {path: extract.Picture(path, sha256) for path, sha256 in pictures}
extract.extract_missing(wanted, store.FeatureStore(directory), 8, beam.Pipeline)
"""


def test_an_extraction_that_was_killed_at_half_does_at_most_a_tenth_again(store, tmp_path):
    total = 200
    wanted = pictures(tmp_path, range(total))
    given = json.dumps([store.directory, total // 2, [[p.path, p.sha256] for p in wanted.values()]])
    killed = subprocess.run([sys.executable, "-c", HALF_A_RUN, given], stderr=subprocess.DEVNULL, check=False)
    assert killed.returncode == -signal.SIGKILL
    again = extract.extract_missing(wanted, store, 8, beam.Pipeline) - total // 2
    assert 0 < again <= total // 10
    assert set(store.index()) == {picture.sha256 for picture in wanted.values()}


def test_progress_is_told_here_wherever_the_workers_are(store, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(extract, "POLL_SECONDS", 0.01)
    caplog.set_level(logging.INFO, "captions.progress")
    given = pictures(tmp_path, range(6))
    processes = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    extract.extract_missing(given, store, 2, lambda: beam.Pipeline(options=PipelineOptions(processes)))
    assert caplog.messages[-1].startswith("6 of 6 pictures, ")
