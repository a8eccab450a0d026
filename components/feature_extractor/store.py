"""The feature store: an append-only directory, in which a shard counts from the moment its index is there.

The layout is described in `components.features`.
"""

import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from components.atomic import whole_file, write_text
from components.feature_extractor import backbones
from components.features import BACKBONE, serialize


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
        path = os.path.join(self.directory, "identity")
        if not tf.io.gfile.exists(path):
            write_text(path, uuid.uuid4().hex)
        with tf.io.gfile.GFile(path) as file:
            return file.read()

    def index(self) -> dict[str, str]:
        """sha256 of a picture -> file name of the shard that holds its features."""
        shard_of: dict[str, str] = {}
        for path in sorted(tf.io.gfile.glob(os.path.join(self.directory, "shard-*.json"))):
            with tf.io.gfile.GFile(path) as file:
                index = json.load(file)
            if self._is_intact(index):
                shard_of.update(dict.fromkeys(index["sha256"], index["file"]))
        return shard_of

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
            grid, channels = backbones.export(settings, partial)
            if tf.io.gfile.exists(info):  # another run was faster
                tf.io.gfile.rmtree(partial)
            else:
                tf.io.gfile.rename(partial, os.path.join(self.directory, name))
                described = {**dataclasses.asdict(settings), "saved_model": name, "grid": grid, "channels": channels}
                write_text(info, json.dumps(described))
        with tf.io.gfile.GFile(info) as file:
            known = json.load(file)
        return tuple(known["grid"]), known["channels"]

    def _is_intact(self, index: dict) -> bool:
        """Whether a shard is there in its full length."""
        path = os.path.join(self.directory, index["file"])
        try:
            return tf.io.gfile.stat(path).length == index["bytes"]
        except tf.errors.NotFoundError:
            return False
