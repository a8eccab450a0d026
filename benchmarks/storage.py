"""What a bucket costs, compared with the local disk in the same run.

The store is that of the environment, see `s3_store.py`, or moto's server where the environment names none.
"""

import contextlib
import itertools
import os
import pathlib
import tempfile
from collections.abc import Iterator

import fsspec

from benchmarks import ingest, run, s3_store, train
from benchmarks.measuring import HEIGHT, WIDTH, Result, in_turns, seconds
from components.shared import node_cache, storage

SAMPLE = ["--config", "sample"]


def over_disk() -> Iterator[Result]:
    """All comparisons, in one bucket, which is deleted at the end."""
    with tempfile.TemporaryDirectory() as disk, _bucket(disk) as (bucket, store):
        for results in (_runs, _ingest, _features):
            for result in results(disk, bucket):
                yield Result(result.name, result.value, result.unit, f"{store}: {result.detail}")


@contextlib.contextmanager
def _bucket(disk: str) -> Iterator[tuple[str, str]]:
    """Yields the URI of an empty bucket, to which the environment leads, and what the store is."""
    os.environ[node_cache.DIRECTORY] = os.path.join(disk, "cache")
    if is_given := s3_store.names_store(os.environ):
        os.environ[s3_store.REAL] = "environment"
    with s3_store.s3_server() as variables, s3_store.new_bucket(variables) as bucket:
        os.environ.update(variables)
        yield bucket, variables["AWS_ENDPOINT_URL_S3"] if is_given else "moto's server"
        fsspec.filesystem("s3").clear_instance_cache()


def _runs(disk: str, bucket: str) -> Iterator[Result]:
    """The built-in sample, from an empty root to a pushed model, and the same again with nothing new."""
    in_bucket = [*SAMPLE, "--root", f"{bucket}/root", "--set", f"metadata=sqlite:///{disk}/metadata.sqlite"]
    on_disk = [*SAMPLE, "--root", os.path.join(disk, "root")]
    ours, theirs = seconds(lambda: run.execute(in_bucket)), seconds(lambda: run.execute(on_disk))
    yield Result("sample.over_disk", ours / theirs, "ratio", f"bucket {ours:.0f} s, disk {theirs:.0f} s")
    ours, theirs = in_turns(lambda: run.execute(in_bucket), lambda: run.execute(on_disk), rounds=3)
    yield Result("cached.over_disk", ours / theirs, "ratio", f"bucket {ours:.1f} s, disk {theirs:.1f} s")


def _ingest(disk: str, bucket: str) -> Iterator[Result]:
    """The ingest of many images, and the fingerprint of those that have not changed."""
    on_disk, in_bucket = os.path.join(disk, "data"), f"{bucket}/data"
    ingest.data_set(pathlib.Path(on_disk), ingest.NUM_IMAGES)
    storage.copy_tree(on_disk, in_bucket)
    caches = (f"{bucket}/images/{number}" for number in itertools.count())  # an empty one each time
    ours, theirs = in_turns(lambda: ingest.ingest(in_bucket, next(caches)), lambda: ingest.ingest(on_disk), rounds=2)
    rates = f"bucket {ingest.NUM_IMAGES / ours:.0f} images/s, disk {ingest.NUM_IMAGES / theirs:.0f}"
    detail = f"{ingest.NUM_IMAGES} JPEGs of {WIDTH}x{HEIGHT}: {rates}"
    yield Result("ingest.10000_rate_over_disk", theirs / ours, "ratio", detail)
    duration, on_disk_duration = ingest.fingerprint_seconds(in_bucket), ingest.fingerprint_seconds(on_disk)
    detail = f"none of {ingest.NUM_FINGERPRINTED} images opened; disk {on_disk_duration:.2f} s"
    yield Result("fingerprint.8000_objects", duration, "s", detail)


def _features(disk: str, bucket: str) -> Iterator[Result]:
    """Features from a bucket, with a node cache that has none of them, and with one that has them all."""
    caches = (os.path.join(disk, f"cache-{number}") for number in itertools.count())

    def forget() -> None:
        os.environ[node_cache.DIRECTORY] = next(caches)

    rate, again, step_rate = train.reading_rates(f"{bucket}/features", forget)
    detail = (
        f"{rate:.0f} captions/s with the download, {again:.0f} without; training at the reference size {step_rate:.0f}"
    )
    yield Result("features.read_over_train", rate / step_rate, "ratio", detail)
