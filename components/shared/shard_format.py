"""A shard of the feature store: a TFRecord file of features, and the index that commits it.

The index lists the images in the order of the records, and all records of a shard have the same length: so each is read
by itself, from where it begins. The layout of the store is described in `components.shared.features`.
"""

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.shared import node_cache, records, storage
from components.shared.datasets import without_autotuning
from components.shared.storage_entry import Entry

READ_BUFFER = 2**20  # bytes
PARALLEL_READS = 4  # files
RANDOM_READS = 2  # records that are read at the same time; more are slower on two cores


@dataclasses.dataclass(frozen=True)
class Shard:
    """The index of a shard.

    Attributes:
      file: file name of the shard.
      bytes: its size.
      sha256: the images whose features it holds, in the order of its records.
    """

    file: str
    bytes: int
    sha256: tuple[str, ...]

    def __post_init__(self):
        object.__setattr__(self, "sha256", tuple(self.sha256))  # JSON has lists only

    def offsets(self) -> dict[str, int]:
        """Where each record begins: sha256 -> bytes from the beginning."""
        length = self.bytes // max(len(self.sha256), 1)
        return {sha256: number * length for number, sha256 in enumerate(self.sha256)}


def name_of(sha256: Sequence[str]) -> str:
    """A shard's name without the suffix: two runs that compute the same images write the same file."""
    return "shard-" + hashlib.sha256("\n".join(sha256).encode()).hexdigest()[:24]


def index_of(shard: str) -> str:
    """The file name of a shard's index."""
    return shard.removesuffix(".tfrecord") + ".json"


def write_shard(directory: str, sha256: Sequence[str], features: Iterable[np.ndarray]) -> str:
    """Writes a shard, and then its index.

    Args:
      directory: the store's directory.
      sha256: [n] hashes of the images' bytes.
      features: n of float16 [positions, channels], written as they come.

    Returns:
      the file name of the shard.
    """
    shard = f"{name_of(sha256)}.tfrecord"
    with storage.atomic_write(os.path.join(directory, shard)) as partial:
        with tf.io.TFRecordWriter(partial) as writer:
            for key, feature in zip(sha256, features, strict=True):
                writer.write(serialize(key, feature))
        size = storage.size(partial)  # now: under its own name another run may delete it
    index = {"file": shard, "bytes": size, "sha256": list(sha256)}
    storage.write_json(os.path.join(directory, index_of(shard)), index)
    return shard


def read_index(path: str, entry: Entry | None = None) -> Shard | None:
    """Reads an index; None where it is gone or damaged.

    A shard's name follows from its images: so an index vouches for itself, and can name no file elsewhere.

    Args:
      path: the path or URI.
      entry: of a listing, which saves a request to a bucket.
    """
    try:
        copy = node_cache.file(path, entry)
        shard = _parse_index(copy)
        if shard is None and copy != path and node_cache.discard([copy]):  # it may be the copy that is damaged
            shard = _parse_index(node_cache.file(path, entry))
    except FileNotFoundError:
        return None
    return shard


def read_indexes(paths: Sequence[str], entries: Mapping[str, Entry]) -> list[Shard | None]:
    """Reads many indexes, see `read_index`; those of a bucket are copied several at a time.

    Args:
      paths: the paths or URIs.
      entries: the entries of a listing, by path.
    """
    copies = list(paths)
    with contextlib.suppress(FileNotFoundError):  # another process has just deleted one of them
        copies = node_cache.files(paths, entries)
    shards = (_parse_index(copy) if storage.is_local(copy) else None for copy in copies)
    return [
        read_index(path, entries.get(path)) if shard is None and not storage.is_local(path) else shard
        for path, shard in zip(paths, shards, strict=True)
    ]


def _parse_index(path: str) -> Shard | None:
    try:
        content: Any = storage.read_json(path)
        shard, name = Shard(**content), name_of(content["sha256"])
    except (FileNotFoundError, TypeError, ValueError):  # not JSON, as a crash may leave it, or some other JSON
        return None
    return shard if (shard.file, os.path.basename(path)) == (f"{name}.tfrecord", f"{name}.json") else None


def serialize(sha256: str, feature: np.ndarray) -> bytes:
    """Serializes one record of a shard.

    Args:
      sha256: hash of the image's bytes.
      feature: float16 [positions, channels].
    """
    values = {records.SHA256: sha256.encode(), records.FEATURE: feature.astype("<f2").tobytes()}
    features = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def read_at(shards: Sequence[str], positions: np.ndarray, record_bytes: int) -> tf.data.Dataset:
    """Reads records by themselves, in any order, with their checksums verified.

    Args:
      shards: the paths of the shards.
      positions: int64 [n, 2], of each record the index of its shard in `shards` and where it begins.
      record_bytes: the approximate length of a record, which is read at once.

    Returns:
      n of (number of the record in `positions`: int64 [], record: string []); reading it raises DataLossError where a
      shard is damaged, and FailedPreconditionError where it ends too early.
    """
    paths = tf.constant(list(shards), tf.string)

    def read(number: tf.Tensor, position: tf.Tensor) -> tf.data.Dataset:
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=tf.gather(paths, position[:1]),
            compression_type="",
            buffer_size=record_bytes,
            byte_offsets=position[1:],
        )
        record = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string)).take(1)
        return record.map(lambda serialized: (number, serialized))

    numbers = np.arange(len(positions), dtype=np.int64)
    dataset = tf.data.Dataset.from_tensor_slices((numbers, positions.astype(np.int64)))
    dataset = dataset.interleave(read, RANDOM_READS, 1, num_parallel_calls=RANDOM_READS, deterministic=True)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(positions)))


def is_intact(path: str, entries: Mapping[str, Entry]) -> bool:
    """Whether a shard has an index, and all records that the index promises can be read.

    Args:
      path: the path or URI of the shard.
      entries: the entries of a listing, by path; they save requests to a bucket.
    """
    index = index_of(path)
    shard = read_index(index, entries.get(index))
    try:
        copy = node_cache.file(path, entries.get(path))
    except FileNotFoundError:
        return False
    return shard is not None and 0 < len(shard.sha256) == count_records([copy])


def count_records(paths: Sequence[str]) -> int | None:
    """Counts the records of TFRecord files, verifying their checksums (CRC-32C); None if one is corrupt or missing."""
    try:
        return int(_count(tf.constant(paths, tf.string, [len(paths)])))
    except (tf.errors.DataLossError, tf.errors.NotFoundError):
        return None


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def _count(paths: tf.Tensor) -> tf.Tensor:
    """Reads TFRecord files to their ends: their paths -> number of records, int64 []."""
    dataset = tf.data.TFRecordDataset(paths, buffer_size=READ_BUFFER, num_parallel_reads=PARALLEL_READS)
    return without_autotuning(dataset).reduce(np.int64(0), lambda total, _: total + 1)
