"""The feature store: an append-only directory, in which a shard counts from the moment its index is there.

The layout is described in `components.features`.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Collection, Sequence

import numpy as np
import tensorflow as tf

from components.atomic import whole_file, write_text
from components.feature_extractor import backbones, export
from components.features import BACKBONE, serialize

IDENTITY = "identity"
READ_BUFFER = 2**20  # bytes
PARALLEL_READS = 4  # files


@dataclasses.dataclass(frozen=True)
class Shard:
    """What the index of a shard says.

    Attributes:
      file: its name.
      bytes: its length.
      sha256: of the pictures whose features it holds.
    """

    file: str
    bytes: int
    sha256: frozenset[str]

    def __post_init__(self):
        object.__setattr__(self, "sha256", frozenset(self.sha256))  # JSON knows lists alone


@dataclasses.dataclass(frozen=True)
class FeatureStore:
    """One directory of a store: the features of one fingerprint.

    It is small and travels to Beam workers; all state is in the file system.
    """

    directory: str

    def identity(self) -> str:
        """A name drawn when the directory was made.

        It is part of the extractor's cache key: after somebody has removed the directory, the manifests of earlier
        runs, which name shards that are gone, are not answered from the cache.
        """
        path = os.path.join(self.directory, IDENTITY)
        if not tf.io.gfile.exists(path):
            write_text(path, uuid.uuid4().hex)
        with tf.io.gfile.GFile(path) as file:
            return file.read()

    def index(self) -> dict[str, str]:
        """sha256 of a picture -> file name of the shard that holds its features."""
        return {sha256: shard.file for shard in self.shards() for sha256 in shard.sha256}

    def shards(self) -> list[Shard]:
        """The committed shards that are there in their full length, by name."""
        found = []
        for path in sorted(tf.io.gfile.glob(os.path.join(self.directory, "shard-*.json"))):
            with tf.io.gfile.GFile(path) as file:
                shard = Shard(**json.load(file))
            if self._length(shard.file) == shard.bytes:
                found.append(shard)
        return found

    def check(self, wanted: Collection[str]) -> list[str]:
        """Reads the shards that hold certain pictures, and removes those whose records are broken.

        Args:
          wanted: sha256 of the pictures.

        Returns:
          file names of what was removed; its features are to be computed again.
        """
        used = [shard for shard in self.shards() if not shard.sha256.isdisjoint(wanted)]
        # all in one go is several times as fast, and nearly always the answer
        broken = [] if self._are_sound(used) else [shard.file for shard in used if not self._are_sound([shard])]
        self.remove(broken)
        return broken

    def remove(self, shards: Collection[str]) -> None:
        """Removes shards, and renews the identity, so that no manifest that names them is answered from the cache."""
        for shard in shards:
            for name in (shard.removesuffix(".tfrecord") + ".json", shard):  # what has no index does not count
                with contextlib.suppress(tf.errors.NotFoundError):  # another run was faster
                    tf.io.gfile.remove(os.path.join(self.directory, name))
        if shards:
            write_text(os.path.join(self.directory, IDENTITY), uuid.uuid4().hex)

    def add(self, sha256: Sequence[str], features: np.ndarray) -> None:
        """Commits one shard.

        Args:
          sha256: [n] of the pictures' bytes.
          features: float16 [n, positions, channels].
        """
        # named by what is in it: two runs that compute the same pictures write the same file
        name = "shard-" + hashlib.sha256("\n".join(sha256).encode()).hexdigest()[:24]
        path = os.path.join(self.directory, f"{name}.tfrecord")
        with whole_file(path) as partial, tf.io.TFRecordWriter(partial) as writer:
            for sha, feature in zip(sha256, features, strict=True):
                writer.write(serialize(sha, feature))
        index = {"file": f"{name}.tfrecord", "bytes": tf.io.gfile.stat(path).length, "sha256": list(sha256)}
        write_text(os.path.join(self.directory, f"{name}.json"), json.dumps(index))

    def prepare_backbone(self, settings: backbones.BackboneSettings) -> tuple[tuple[int, int], int]:
        """Exports the backbone into the directory, unless it is there.

        Runs that export at once do not disturb one another: each writes a directory of its own, the first that is named
        serves all, and none that was ever named is removed.

        Returns:
          ((rows, columns), channels) of the feature map.
        """
        info = os.path.join(self.directory, BACKBONE)
        if not tf.io.gfile.exists(info):
            name = f"backbone-{uuid.uuid4().hex}"
            partial = os.path.join(self.directory, f".{name}.partial")
            grid, channels = export.export(settings, partial)
            if tf.io.gfile.exists(info):  # another run was faster
                tf.io.gfile.rmtree(partial)
            else:
                tf.io.gfile.rename(partial, os.path.join(self.directory, name))
                described = {
                    "name": settings.name,
                    "weights": settings.weights,
                    "size": settings.size,
                    "saved_model": name,
                    "grid": grid,
                    "channels": channels,
                }
                write_text(info, json.dumps(described))
        with tf.io.gfile.GFile(info) as file:
            known = json.load(file)
        return tuple(known["grid"]), known["channels"]

    def _length(self, name: str) -> int | None:
        """Bytes of a file of the directory; None where there is none."""
        try:
            return tf.io.gfile.stat(os.path.join(self.directory, name)).length
        except tf.errors.NotFoundError:
            return None

    def _are_sound(self, shards: Sequence[Shard]) -> bool:
        """Whether all records of shards can be read; TFRecord keeps a checksum of each (CRC-32C)."""
        paths = [os.path.join(self.directory, shard.file) for shard in shards]
        try:
            count = _count(tf.constant(paths, tf.string, [len(paths)])).numpy()
        except tf.errors.DataLossError:
            return False
        return count == sum(len(shard.sha256) for shard in shards)


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def _count(paths: tf.Tensor) -> tf.Tensor:
    """Reads TFRecords to their ends: their paths -> number of records, int64 []."""
    records = tf.data.TFRecordDataset(paths, buffer_size=READ_BUFFER, num_parallel_reads=PARALLEL_READS)
    return records.reduce(np.int64(0), lambda total, _: total + 1)
