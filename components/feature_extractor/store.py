"""The feature store: an append-only directory, in which a shard counts from the moment its index is there.

The layout is described in `components.features`.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import threading
import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.atomic import whole_file, write_text
from components.feature_extractor import backbones, export
from components.features import BACKBONE, count_records, serialize

IDENTITY = "identity"
# what a directory may hold of a store's; a name that begins with a dot is still being written
SHARD = re.compile(r"shard-\w+\.(tfrecord|json)")
MODEL = re.compile(r"backbone-\w+")
PARTIAL = re.compile(rf"\.({SHARD.pattern}|{MODEL.pattern}|{re.escape(BACKBONE)}|{IDENTITY})(\.\w+)?\.partial")


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
        runs, which name shards that are gone, are not answered from the cache. Shards that were cut or lost since they
        were committed are removed first, and so another is drawn for the same reason.
        """
        self.remove([shard.file for shard in self._committed() if self._length(shard.file) != shard.bytes])
        path = os.path.join(self.directory, IDENTITY)
        if not tf.io.gfile.exists(path):
            write_text(path, uuid.uuid4().hex)
        with tf.io.gfile.GFile(path) as file:
            return file.read()

    def index(self) -> dict[str, str]:
        """sha256 of a picture -> file name of the shard that holds its features."""
        return {sha256: shard.file for shard in self.shards() for sha256 in shard.sha256}

    def names(self) -> frozenset[str]:
        """The file names of all indexes."""
        return frozenset(map(os.path.basename, tf.io.gfile.glob(os.path.join(self.directory, "shard-*.json"))))

    def shards(self) -> list[Shard]:
        """The committed shards that are there in their full length, by name."""
        return [shard for shard in self._committed() if self._length(shard.file) == shard.bytes]

    def check(self, wanted: Collection[str]) -> list[str]:
        """Reads the shards that hold certain pictures, and removes those whose records are broken.

        Args:
          wanted: sha256 of the pictures.

        Returns:
          file names of what was removed; its features are to be computed again.
        """
        used = [shard for shard in self.shards() if not shard.sha256.isdisjoint(wanted)]
        if self._are_sound(used):  # all in one go is several times as fast, and nearly always the answer
            return []
        broken = []
        for shard in used:
            if not self._are_sound([shard]):
                self.remove([shard.file])  # at once, before another run has computed it again
                broken.append(shard.file)
        return broken

    def remove(self, shards: Collection[str]) -> None:
        """Removes shards, and renews the identity, so that no manifest that names them is answered from the cache."""
        for shard in shards:
            for name in (_index_of(shard), shard):  # what has no index does not count
                with contextlib.suppress(tf.errors.NotFoundError):  # another run was faster
                    tf.io.gfile.remove(os.path.join(self.directory, name))
        if shards:
            write_text(os.path.join(self.directory, IDENTITY), uuid.uuid4().hex)

    def add(self, sha256: Sequence[str], features: Iterable[np.ndarray]) -> None:
        """Commits one shard.

        Args:
          sha256: [n] of the pictures' bytes.
          features: n of float16 [positions, channels]; they are written as they come.
        """
        name = _name(sha256)
        path = os.path.join(self.directory, f"{name}.tfrecord")
        with whole_file(path) as partial:
            with tf.io.TFRecordWriter(partial) as writer:
                for sha, feature in zip(sha256, features, strict=True):
                    writer.write(serialize(sha, feature))
            length = tf.io.gfile.stat(partial).length  # now: under its name another may remove it
        index = {"file": f"{name}.tfrecord", "bytes": length, "sha256": list(sha256)}
        write_text(os.path.join(self.directory, f"{name}.json"), json.dumps(index))

    def prepare_backbone(self, settings: backbones.BackboneSettings) -> tuple[tuple[int, int], int]:
        """Exports the backbone into the directory, unless it is there.

        Runs that export at once do not disturb one another: each writes a directory of its own, the first that is named
        serves all, and no run removes one that was named.

        Returns:
          ((rows, columns), channels) of the feature map.
        """
        known = self.backbone()
        if known is None:
            name = f"backbone-{uuid.uuid4().hex}"
            partial = os.path.join(self.directory, f".{name}.partial")
            grid, channels = export.export(settings, partial)
            known = self.backbone()
            if known is not None:  # another run was faster
                tf.io.gfile.rmtree(partial)
            else:
                tf.io.gfile.rename(partial, os.path.join(self.directory, name))
                known = {
                    "name": settings.name,
                    "weights": settings.weights,
                    "size": settings.size,
                    "saved_model": name,
                    "grid": grid,
                    "channels": channels,
                }
                write_text(os.path.join(self.directory, BACKBONE), json.dumps(known))
        return tuple(known["grid"]), known["channels"]

    def backbone(self) -> dict[str, Any] | None:
        """What is known of the exported backbone; None where there is none, or a crash has left half of it."""
        known = _read_json(os.path.join(self.directory, BACKBONE))
        if not isinstance(known, dict) or not MODEL.fullmatch(str(known.get("saved_model"))):
            return None
        model = os.path.join(self.directory, known["saved_model"], "saved_model.pb")
        return known if tf.io.gfile.exists(model) else None

    def leftovers(self, before: float) -> dict[str, int]:
        """What killed runs and crashes have left: half-written files, shards that do not count, unnamed backbones.

        Args:
          before: seconds since 1970; what was written to later may still become something.

        Returns:
          name in the directory -> bytes.
        """
        counted = {name for shard in self.shards() for name in (shard.file, _index_of(shard.file))}
        counted.add((self.backbone() or {}).get("saved_model", ""))
        found = {}
        for name in (listed.rstrip("/") for listed in tf.io.gfile.listdir(self.directory)):
            is_ours = any(pattern.fullmatch(name) for pattern in (SHARD, MODEL, PARTIAL))
            if not is_ours or name in counted:
                continue
            size, written = size_and_time(os.path.join(self.directory, name))
            if written < before:
                found[name] = size
        return found

    def clear(self, leftovers: Collection[str]) -> None:
        """Removes files and directories of `leftovers`."""
        for path in (os.path.join(self.directory, name) for name in leftovers):
            with contextlib.suppress(tf.errors.NotFoundError):  # another was faster
                remove = tf.io.gfile.rmtree if tf.io.gfile.isdir(path) else tf.io.gfile.remove
                remove(path)

    def _committed(self) -> list[Shard]:
        """The shards that have an index, by name, whether they are there or not."""
        indexes = [os.path.join(self.directory, name) for name in sorted(self.names())]
        return [shard for shard in map(_read_index, indexes) if shard is not None]

    def _length(self, name: str) -> int | None:
        """Bytes of a file of the directory; None where there is none."""
        try:
            return tf.io.gfile.stat(os.path.join(self.directory, name)).length
        except tf.errors.NotFoundError:
            return None

    def _are_sound(self, shards: Sequence[Shard]) -> bool:
        """Whether all records of shards can be read."""
        paths = [os.path.join(self.directory, shard.file) for shard in shards]
        return count_records(paths) == sum(len(shard.sha256) for shard in shards)


class News:
    """What is committed to a store from some moment on, by whichever run or worker; each index is read once."""

    def __init__(self, store: FeatureStore, known: Collection[str]):
        """Begins after some indexes.

        Args:
          store: where.
          known: `FeatureStore.names` of that moment.
        """
        self._store, self._read, self._sha256 = store, set(known), set[str]()
        self._lock = threading.Lock()

    def __call__(self) -> set[str]:
        """The sha256 of all pictures whose features were committed since; to be looked at, not changed."""
        with self._lock:
            for name in self._store.names() - self._read:
                self._read.add(name)
                if shard := _read_index(os.path.join(self._store.directory, name)):
                    self._sha256 |= shard.sha256
            return self._sha256


def _name(sha256: Sequence[str]) -> str:
    """What a shard is called but for the suffix: two runs that compute the same pictures write the same file."""
    return "shard-" + hashlib.sha256("\n".join(sha256).encode()).hexdigest()[:24]


def _index_of(shard: str) -> str:
    """The file name of a shard's index."""
    return shard.removesuffix(".tfrecord") + ".json"


def _read_index(path: str) -> Shard | None:
    """The shard of an index; None where it is gone, or damaged.

    A shard's name follows from its pictures: so an index vouches for itself, and can name no file elsewhere.
    """
    known = _read_json(path)
    try:
        shard, name = Shard(**known), _name(known["sha256"])
    except (TypeError, ValueError):  # some other JSON
        return None
    return shard if (shard.file, os.path.basename(path)) == (f"{name}.tfrecord", f"{name}.json") else None


def _read_json(path: str) -> Any:
    """What is in a small file; None where it is gone or no JSON, as a crash of the machine may leave it."""
    try:
        with tf.io.gfile.GFile(path) as file:
            return json.load(file)
    except (tf.errors.NotFoundError, ValueError):
        return None


def size_and_time(path: str) -> tuple[int, float]:
    """Bytes of a file or of all in a directory, and when it was last written to, in seconds since 1970."""
    paths = [path, *(os.path.join(place, name) for place, _, names in tf.io.gfile.walk(path) for name in names)]
    try:
        found = [tf.io.gfile.stat(each) for each in paths]
    except tf.errors.NotFoundError:  # another was faster
        return 0, float("inf")
    return sum(each.length for each in found if not each.is_directory), max(each.mtime_nsec for each in found) / 1e9
