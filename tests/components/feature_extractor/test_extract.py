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

from components.feature_extractor import extract
from components.feature_extractor.extract import NonFiniteFeatureError
from components.feature_extractor.settings import FeatureExtractorSettings
from components.feature_extractor.store import FeatureStore
from components.shared import scenes, storage
from components.shared.features import Backbone, Manifest, MissingFeaturesError
from components.shared.images.ingested import IngestedImage, read_verified

TINY = FeatureExtractorSettings("MobileNet", "random", 32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The directory of a store with nothing but the backbone."""
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


def write_images(directory, indices):
    images = {}
    for index in indices:
        path, data = directory / f"{index}.jpg", scenes.jpeg(1, index)
        path.write_bytes(data)
        images[path.name] = IngestedImage(str(path), hashlib.sha256(data).hexdigest())
    return images


def features_in(store, shards):
    manifest = Manifest("f", store.directory, (1, 1), 1024, shards)
    features = {}
    for shard in shards:
        for sha, feature in tf.data.TFRecordDataset(f"{store.directory}/{shard}").map(manifest.parse):
            features[sha.numpy().decode()] = feature.numpy()
    return features


def test_features_are_the_backbones(store, tmp_path):
    images = write_images(tmp_path, range(3))
    assert extract.extract_missing(images, store, 2, beam.Pipeline) == 3
    features = features_in(store, extract.shards_of(images, store))
    backbone = Backbone(store.directory)
    for image in images.values():
        expected = backbone(tf.constant([next(read_verified([image]))]))[0].numpy()
        np.testing.assert_allclose(features[image.sha256], expected, rtol=1e-2, atol=1e-3)


def test_a_feature_that_is_not_finite_is_refused_with_the_images_name(store, tmp_path, monkeypatch):
    images = list(write_images(tmp_path, range(3)).values())
    step = extract.ExtractShards(store, 2, store.index_files())
    step.setup()
    real = step._backbone

    def overflowing(encoded):
        features = real(encoded).numpy()
        features[-1, 0, 7] = np.float16(np.inf) if len(encoded) == 2 else features[-1, 0, 7]
        return tf.constant(features)

    monkeypatch.setattr(step, "_backbone", overflowing)
    with pytest.raises(NonFiniteFeatureError, match=rf"^{images[1].path}: .* not finite; remove these images"):
        step._extract(images)
    assert not store.shards()
    step.teardown()


def test_only_missing_features_are_computed(store, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "MIN_SHARD_IMAGES", 2)
    first = write_images(tmp_path, range(3))
    assert extract.extract_missing(first, store, 32, beam.Pipeline) == 3
    assert extract.extract_missing(first, store, 32, beam.Pipeline) == 0
    more = write_images(tmp_path, range(5))
    assert extract.extract_missing(more, store, 32, beam.Pipeline) == 2
    shards = extract.shards_of(more, store)
    assert sorted(image_id for held in shards.values() for image_id in held) == sorted(more)
    assert len(features_in(store, shards)) == 5


def test_an_image_under_two_names_is_computed_once(store, tmp_path):
    [image] = write_images(tmp_path, [0]).values()
    images = {"a.jpg": image, "b.jpg": image}
    assert extract.extract_missing(images, store, 32, beam.Pipeline) == 1
    assert list(extract.shards_of(images, store).values()) == [{"a.jpg": image.sha256, "b.jpg": image.sha256}]


def test_shards_committed_before_a_failure_are_kept(store, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "MIN_SHARD_IMAGES", 1)
    monkeypatch.setattr(extract.random, "shuffle", lambda chunks: None)
    images = write_images(tmp_path, range(3))
    (tmp_path / "2.jpg").write_bytes(b"other")
    with pytest.raises(Exception, match="has changed since it was ingested"):
        extract.extract_missing(images, store, 32, beam.Pipeline)
    kept = len(store.index())
    images |= write_images(tmp_path, [2])
    assert extract.extract_missing(images, store, 32, beam.Pipeline) == 3 - kept
    assert set(store.index()) == {image.sha256 for image in images.values()}


def test_features_deleted_during_the_run_are_named(store, tmp_path):
    with pytest.raises(MissingFeaturesError, match=r"the features of 0\.jpg were deleted during this run; run again"):
        extract.shards_of(write_images(tmp_path, [0]), store)


def test_a_corrupt_shard_is_computed_again(store, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "MIN_SHARD_IMAGES", 2)
    images = write_images(tmp_path, range(4))
    extract.extract_missing(images, store, 32, beam.Pipeline)
    [corrupt, intact] = extract.shards_of(images, store)
    before = features_in(store, [corrupt, intact])
    path = tmp_path / "store" / corrupt
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    assert extract.extract_missing(images, store, 32, beam.Pipeline) == 2
    after = features_in(store, extract.shards_of(images, store))
    assert set(after) == set(before)
    for sha256, feature in after.items():
        # computed in another batch, in which a processor may round otherwise before float16
        np.testing.assert_allclose(feature, before[sha256], rtol=1e-2, atol=1e-3)


def test_two_concurrent_runs_are_both_right(store, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "MIN_SHARD_IMAGES", 2)
    images = write_images(tmp_path, range(6))
    one, other = dict(list(images.items())[:5]), dict(list(images.items())[1:])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda part: extract.extract_missing(part, store, 2, beam.Pipeline), [one, other]))
    for part in (one, other):
        shards = extract.shards_of(part, store)
        named = [image_id for held in shards.values() for image_id in held]
        assert sorted(named) == sorted(part)
        assert {image.sha256 for image in part.values()} <= set(features_in(store, shards))


RUNNERS = {
    "one call at a time": (1, ["--direct_num_workers=1"]),
    "several at a time": (3, ["--direct_num_workers=1"]),
    "threads": (2, ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]),
}


def test_images_committed_by_another_run_are_not_computed(store, tmp_path):
    images = list(write_images(tmp_path, range(5)).values())
    one, other = (extract.ExtractShards(store, 2, store.index_files()) for _ in range(2))
    for step in (one, other):
        step.setup()
    assert [one._extract(images[:3]), other._extract(images[1:]), one._extract(images)] == [3, 2, 0]
    assert sum(map(len, (shard.sha256 for shard in store.shards()))) == 5
    one.teardown()
    other.teardown()


def test_two_concurrent_runs_compute_little_twice(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "MIN_SHARD_IMAGES", 1)
    images = write_images(tmp_path, range(24))
    lists = [dict(list(images.items())[:20]), dict(list(images.items())[3:])]  # with different shards
    store = copy_of(exported, tmp_path / "store")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        computed = list(pool.map(lambda part: extract.extract_missing(part, store, 2, beam.Pipeline), lists))
    assert 24 <= sum(len(shard.sha256) for shard in store.shards()) <= sum(computed) < 36


def test_the_same_images_elsewhere_under_other_names_are_in_the_store(store, tmp_path):
    extract.extract_missing(write_images(tmp_path, range(3)), store, 2, beam.Pipeline)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    renamed = {f"of another run {name}": image for name, image in write_images(elsewhere, range(3)).items()}
    assert extract.extract_missing(renamed, store, 16, beam.Pipeline) == 0
    assert sum(map(len, extract.shards_of(renamed, store).values())) == 3


def test_a_large_shard_is_computed_batch_by_batch(store, tmp_path, monkeypatch):
    step = extract.ExtractShards(store, 2, store.index_files())
    step.setup()
    calls, real = [], step._backbone
    monkeypatch.setattr(step, "_backbone", lambda encoded: calls.append(len(encoded)) or real(encoded))
    features = step._features(list(write_images(tmp_path, range(5)).values()))
    seen = [len(calls) for _ in features]
    assert (seen, calls) == ([1, 1, 2, 2, 3], [2, 2, 1])
    step.teardown()


@pytest.mark.parametrize(("count", "size"), [(1, 4), (50, 4), (300, 12), (1000, 16), (8000, 100), (100_000, 512)])
def test_shards_are_whole_batches_and_an_interruption_loses_less_than_a_tenth(count, size):
    assert extract.shard_size(count, 16) == size
    assert extract.CONCURRENT_SHARDS * size <= count / 10 or count < 80


def test_features_are_the_same_to_the_bit_with_any_number_of_workers(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "MIN_SHARD_IMAGES", 2)
    images = write_images(tmp_path, range(6))
    features = []
    for name, (concurrent_shards, arguments) in RUNNERS.items():
        monkeypatch.setattr(extract, "CONCURRENT_SHARDS", concurrent_shards)
        store = copy_of(exported, tmp_path / name)
        extract.extract_missing(images, store, 2, lambda arguments=arguments: beam.Pipeline(argv=arguments))
        features.append(features_in(store, extract.shards_of(images, store)))
    for other in features[1:]:
        assert other.keys() == features[0].keys()
        for sha256, feature in other.items():
            np.testing.assert_array_equal(feature, features[0][sha256])


def test_features_in_a_bucket_are_those_on_a_disk(exported, store, bucket, tmp_path):
    images = write_images(tmp_path, range(6))
    extract.extract_missing(images, store, 2, beam.Pipeline)
    expected = features_in(store, extract.shards_of(images, store))
    in_bucket = FeatureStore(f"{bucket}/store")
    storage.copy_tree(str(exported), in_bucket.directory)
    processes = PipelineOptions(["--direct_num_workers=2", "--direct_running_mode=multi_processing"])
    assert extract.extract_missing(images, in_bucket, 2, lambda: beam.Pipeline(options=processes)) == 6
    assert extract.extract_missing(images, in_bucket, 2, beam.Pipeline) == 0
    manifest = Manifest("f", in_bucket.directory, (1, 1), 1024, extract.shards_of(images, in_bucket))
    hashes = list(expected)
    features = {hashes[int(number)]: feature.numpy() for number, feature in manifest.read_in_order(hashes)}
    assert features.keys() == expected.keys()
    for sha256, feature in features.items():
        np.testing.assert_array_equal(feature, expected[sha256])


INTERRUPTED_RUN = """
import json, os, signal, sys
import apache_beam as beam
from components.feature_extractor import extract, store

directory, half, inputs = json.loads(sys.argv[1])
done, call = [], extract.Backbone.__call__

def call_and_die(self, encoded):
    features = call(self, encoded)
    done.extend([None] * len(encoded))
    if len(done) >= half:
        os.kill(os.getpid(), signal.SIGKILL)
    return features

extract.Backbone.__call__ = call_and_die
images = {path: extract.IngestedImage(path, sha256) for path, sha256 in inputs}
extract.extract_missing(images, store.FeatureStore(directory), 8, beam.Pipeline)
"""


def test_an_extraction_killed_halfway_computes_at_most_a_tenth_again(store, tmp_path):
    total = 200
    images = write_images(tmp_path, range(total))
    arguments = json.dumps([store.directory, total // 2, [[p.path, p.sha256] for p in images.values()]])
    killed = subprocess.run([sys.executable, "-c", INTERRUPTED_RUN, arguments], stderr=subprocess.DEVNULL, check=False)
    assert killed.returncode == -signal.SIGKILL
    again = extract.extract_missing(images, store, 8, beam.Pipeline) - total // 2
    assert 0 < again <= total // 10
    assert set(store.index()) == {image.sha256 for image in images.values()}


def test_progress_is_reported_here_wherever_the_workers_are(store, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("components.shared.progress.POLL_SECONDS", 0.01)
    caplog.set_level(logging.INFO, "captions.progress")
    images = write_images(tmp_path, range(6))
    processes = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    extract.extract_missing(images, store, 2, lambda: beam.Pipeline(options=PipelineOptions(processes)))
    assert caplog.messages[-1].startswith("6/6 images, ")
