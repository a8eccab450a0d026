"""The `features` artifact: which pictures have which features, where, and how to read them.

Features themselves lie in the feature store, a directory for each fingerprint of (backbone, weights, preprocessing):

    STORE/FINGERPRINT/backbone-NAME/        SavedModel: pictures -> features, see `Backbone`
    STORE/FINGERPRINT/backbone.json         names it, written last: one that is not named does not count
    STORE/FINGERPRINT/shard-NAME.tfrecord   features of some pictures, never changed once it is there
    STORE/FINGERPRINT/shard-NAME.json       its index, written last: a shard without one does not count
"""

import collections
import contextlib
import dataclasses
import json
import os
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import tensorflow as tf

from components import records
from components.atomic import write_text
from components.datasets import without_autotuning

MANIFEST = "manifest.json"
BACKBONE = "backbone.json"
READ_BUFFER = 2**20  # bytes
PARALLEL_READS = 4  # files


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What one run's pictures became.

    Attributes:
      fingerprint: of backbone, weights and preprocessing.
      directory: the feature store's directory of that fingerprint.
      grid: rows and columns of the feature map; features are stored row by row.
      channels: of the feature map.
      shards: shard's file name -> {image id: sha256 of the picture}; every picture of the run is in exactly one.
    """

    fingerprint: str
    directory: str
    grid: tuple[int, int]
    channels: int
    shards: dict[str, dict[str, str]]

    @property
    def positions(self) -> int:
        """Number of positions of the grid."""
        return self.grid[0] * self.grid[1]

    def save(self, uri: str) -> None:
        """Writes the manifest into the directory of a `features` artifact."""
        write_text(os.path.join(uri, MANIFEST), json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True))

    @classmethod
    def load(cls, uri: str) -> "Manifest":
        """Reads the manifest of a `features` artifact.

        Raises:
          FileNotFoundError: a shard that it names is gone.
        """
        with tf.io.gfile.GFile(os.path.join(uri, MANIFEST)) as file:
            fields = json.load(file)
        manifest = cls(**{**fields, "grid": tuple(fields["grid"])})
        gone = sorted(set(manifest.shards) - set(tf.io.gfile.listdir(manifest.directory)))
        if gone:
            raise FileNotFoundError(
                f"{manifest.directory} has lost {len(gone)} feature shards ({gone[0]}, …): remove it, and run again"
            )
        return manifest

    def shards_of(self, image_ids: Collection[str]) -> dict[str, dict[str, str]]:
        """The part of `shards` that holds the given pictures."""
        wanted = set(image_ids)
        parts = {
            shard: {image_id: sha for image_id, sha in pictures.items() if image_id in wanted}
            for shard, pictures in self.shards.items()
        }
        return {shard: pictures for shard, pictures in parts.items() if pictures}

    def parse(self, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Parses one record of a shard: string [] -> (sha256: string [], feature: float16 [positions, channels])."""
        fields = tf.io.parse_single_example(serialized, records.FEATURE_SPEC)
        feature = tf.io.decode_raw(fields[records.FEATURE], tf.float16)
        return fields[records.SHA256], tf.reshape(feature, (self.positions, self.channels))

    def read(self, image_ids: Collection[str], batch_size: int) -> Iterator[tuple[list[list[str]], tf.Tensor]]:
        """Reads the features of some pictures, each content once.

        Args:
          image_ids: the pictures; those that are not in the manifest are left out.
          batch_size: rows at a time, B.

        Yields:
          (for each row the ids of the pictures with this content, float16 [B, positions, channels]).
        """
        shards = self.shards_of(image_ids)
        ids_of = collections.defaultdict(list)
        for shard, pictures in shards.items():
            for image_id, sha in pictures.items():
                ids_of[f"{shard}/{sha}".encode()].append(image_id)
        if not ids_of:
            return
        wanted = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(list(ids_of)), tf.ones(len(ids_of), tf.int32)), 0
        )
        dataset = self.records(tf.data.Dataset.from_tensor_slices(list(shards)).flat_map(self.serialized))
        dataset = dataset.filter(lambda record, feature: wanted.lookup(record) == 1).batch(batch_size).prefetch(2)
        for found, features in without_autotuning(dataset):
            yield [ids_of[record] for record in found.numpy()], features

    def serialized(self, shard: tf.Tensor) -> tf.data.Dataset:
        """What is in a shard, undecoded: its file name, string [] -> (that name, record: string []) of each record."""
        records_of = tf.data.TFRecordDataset(tf.strings.join([self.directory, shard], os.sep))
        return records_of.map(lambda record: (shard, record))

    def records(self, serialized: tf.data.Dataset) -> tf.data.Dataset:
        """Decodes what `serialized` gives: ("SHARD/SHA256": string [], feature: float16 [positions, channels]) of each.

        The shard is part of the name, since a picture may lie in several where runs overlapped: that counts which the
        manifest names.
        """

        def parse(shard: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            sha, feature = self.parse(record)
            return tf.strings.join([shard, sha], "/"), feature

        return serialized.map(parse, tf.data.AUTOTUNE)

    @contextlib.contextmanager
    def mending(self) -> Iterator[None]:
        """Removes shards that turn out to be damaged while they are read, so that the next run computes them again.

        The extractor checks what it reads, but a cached one reads nothing.

        Raises:
          DamagedFeatures: some were.
        """
        try:
            yield
        except tf.errors.DataLossError as error:
            paths = [os.path.join(self.directory, shard) for shard in self.shards]
            damaged = [path for path in paths if count_records([path]) is None]
            if not damaged:
                raise
            for path in damaged:
                with contextlib.suppress(tf.errors.NotFoundError):  # another run was faster
                    tf.io.gfile.remove(path)
            raise DamagedFeatures(
                f"{len(damaged)} shards of the feature store were damaged and are removed ({damaged[0]}): "
                "run again, and their features are computed anew"
            ) from error


class DamagedFeatures(RuntimeError):
    """Features that were sound when they were computed can't be read any more."""


def count_records(paths: Sequence[str]) -> int | None:
    """Number of records in TFRecords, each held against its checksum (CRC-32C); None where one is damaged or gone."""
    try:
        return int(_count(tf.constant(paths, tf.string, [len(paths)])))
    except (tf.errors.DataLossError, tf.errors.NotFoundError):
        return None


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def _count(paths: tf.Tensor) -> tf.Tensor:
    """Reads TFRecords to their ends: their paths -> number of records, int64 []."""
    found = tf.data.TFRecordDataset(paths, buffer_size=READ_BUFFER, num_parallel_reads=PARALLEL_READS)
    return without_autotuning(found).reduce(np.int64(0), lambda total, _: total + 1)


def serialize(sha256: str, feature: np.ndarray) -> bytes:
    """One record of a shard.

    Args:
      sha256: of the picture's bytes.
      feature: float16 [positions, channels].
    """
    values = {records.SHA256: sha256.encode(), records.FEATURE: feature.astype("<f2").tobytes()}
    features = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


class Backbone(tf.Module):
    """The frozen backbone that made the features of a store's directory, as part of any model that is exported.

    Attributes:
      size: side in pixels of the squares that it sees, see `components.images.decode_and_resize`.
    """

    def __init__(self, directory: str):
        """Loads it.

        Args:
          directory: `Manifest.directory`.
        """
        super().__init__()
        with tf.io.gfile.GFile(os.path.join(directory, BACKBONE)) as file:
            known = json.load(file)
        self.size: int = known["size"]
        self._loaded = tf.saved_model.load(os.path.join(directory, known["saved_model"]))

    def __call__(self, encoded: tf.Tensor) -> tf.Tensor:
        """Encoded pictures, string [B] -> features, float16 [B, positions, channels]; usable in a graph."""
        return self._loaded.features(encoded)

    def from_pixels(self, pixels: tf.Tensor) -> tf.Tensor:
        """Decoded pictures, float32 [B, size, size, 3] in 0..255 -> the same."""
        return self._loaded.from_pixels(pixels)
