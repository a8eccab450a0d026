"""The `features` artifact: which images have which features, where they are, and how to read them.

Features themselves lie in the feature store, in a directory per fingerprint of backbone, weights and feature version:

    STORE/FINGERPRINT/backbone-NAME/        SavedModel: images -> features, see `Backbone`
    STORE/FINGERPRINT/backbone.json         names it, written last: a backbone without a name does not count
    STORE/FINGERPRINT/shard-NAME.tfrecord   features of some images, immutable
    STORE/FINGERPRINT/shard-NAME.json       its index, written last: a shard without an index does not count
    STORE/FINGERPRINT/generation            a random name, renewed when shards are deleted
"""

import collections
import contextlib
import dataclasses
import os
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from components.shared import node_cache, record_files, records, storage
from components.shared.backbone_description import BackboneDescription
from components.shared.datasets import without_autotuning
from components.shared.shard_format import index_of, is_intact, read_at, read_indexes
from components.shared.storage_entry import Entry

MANIFEST = "manifest.json"
RECORD_OVERHEAD = 512  # bytes at most, beside the feature: the image's hash, field names, lengths and checksums


class MissingFeaturesError(FileNotFoundError):
    """Shards that a run has computed or found no longer exist."""


class CorruptShardError(RuntimeError):
    """Features that were intact when they were computed can no longer be read."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The features of one run's images.

    Attributes:
      fingerprint: identity of the features, the name of `directory`.
      directory: the feature store's directory of that fingerprint.
      grid: rows and columns of the feature map; features are stored row by row.
      channels: number of channels of the feature map.
      shards: file name of a shard -> {image ID: sha256 of the image}; every image of the run is in exactly one.
    """

    fingerprint: str
    directory: str
    grid: tuple[int, int]
    channels: int
    shards: dict[str, dict[str, str]]

    @property
    def num_positions(self) -> int:
        """Number of positions of the grid."""
        return self.grid[0] * self.grid[1]

    def save(self, uri: str) -> None:
        """Writes the manifest into the directory of a `features` artifact."""
        storage.write_json(os.path.join(uri, MANIFEST), dataclasses.asdict(self))

    @classmethod
    def load(cls, uri: str) -> "Manifest":
        """Reads the manifest of a `features` artifact.

        Raises:
          MissingFeaturesError: a shard that it names does not exist.
        """
        fields = storage.read_json(os.path.join(uri, MANIFEST))
        manifest = cls(**{**fields, "grid": tuple(fields["grid"])})
        missing = sorted(set(manifest.shards) - set(storage.list_names(manifest.directory)))
        if missing:
            raise MissingFeaturesError(
                f"{manifest.directory}: {len(missing)} shards missing ({missing[0]}, …); run again, and if it fails "
                f"again, delete {os.path.join(manifest.directory, 'generation')}"
            )
        return manifest

    def shards_of(self, image_ids: Collection[str]) -> dict[str, dict[str, str]]:
        """Selects the part of `shards` that holds certain images."""
        selected = set(image_ids)
        parts = {
            shard: {image_id: sha256 for image_id, sha256 in images.items() if image_id in selected}
            for shard, images in self.shards.items()
        }
        return {shard: images for shard, images in parts.items() if images}

    def parse(self, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Parses one record of a shard: string [] -> (sha256: string [], feature: float16 [positions, channels])."""
        fields = tf.io.parse_single_example(serialized, record_files.FEATURE_SPEC)
        feature = tf.io.decode_raw(fields[records.FEATURE], tf.float16)
        return fields[records.SHA256], tf.reshape(feature, (self.num_positions, self.channels))

    def read(self, image_ids: Collection[str], batch_size: int) -> Iterator[tuple[list[list[str]], tf.Tensor]]:
        """Reads the features of some images, identical images once.

        Args:
          image_ids: the images; those that are not in the manifest are ignored.
          batch_size: maximum number of rows per batch, B.

        Yields:
          (for each row the IDs of the images with this content, float16 [B, positions, channels]).

        Raises:
          CorruptShardError: see `read_in_order`.
        """
        ids_by_content: dict[str, list[str]] = collections.defaultdict(list)
        for images in self.shards_of(image_ids).values():
            for image_id, sha256 in images.items():
                ids_by_content[sha256].append(image_id)
        if not ids_by_content:
            return
        contents = list(ids_by_content)
        dataset = self.read_in_order(contents).batch(batch_size).prefetch(2)
        for numbers, features in without_autotuning(dataset):
            yield [ids_by_content[contents[number]] for number in numbers.numpy()], features

    def read_in_order(self, sha256: Sequence[str]) -> tf.data.Dataset:
        """Reads the features of some images in the order that the caller wants, each by itself.

        Args:
          sha256: [n] images of the manifest; one may stand in it several times.

        Returns:
          n of (index in `sha256`: int64 [], feature: float16 [positions, channels]).

        Raises:
          CorruptShardError: the index of a shard is damaged; such shards are deleted.
        """
        wanted = set(sha256)
        shards = {self._path(name): wanted.intersection(images.values()) for name, images in self.shards.items()}
        shards = {path: images for path, images in shards.items() if images}
        entries = self._entries()
        place_of: dict[str, tuple[int, int]] = {}
        corrupt = []
        indexes = read_indexes([index_of(path) for path in shards], entries)
        for number, (index, (path, images)) in enumerate(zip(indexes, shards.items(), strict=True)):
            offsets = index.offsets() if index else {}
            if not offsets.keys() >= images:
                corrupt.append(path)
            else:
                place_of |= {image: (number, offsets[image]) for image in images}
        self._delete(corrupt)
        places = np.array([place_of[image] for image in sha256], np.int64).reshape(-1, 2)

        def parse(number: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return number, self.parse(record)[1]

        feature_bytes = self.num_positions * self.channels * np.dtype(np.float16).itemsize
        return read_at(node_cache.files(list(shards), entries), places, feature_bytes + RECORD_OVERHEAD).map(
            parse, tf.data.AUTOTUNE
        )

    @contextlib.contextmanager
    def deleting_corrupt_shards(self) -> Iterator[None]:
        """Deletes shards that turn out to be corrupt while they are read, so that the next run computes them again.

        The extractor verifies what it finds in the store, but a cached one reads nothing.

        Raises:
          CorruptShardError: some were corrupt.
        """
        try:
            yield
        except (tf.errors.DataLossError, tf.errors.FailedPreconditionError) as error:
            entries = self._entries()
            corrupt = [path for path in map(self._path, self.shards) if not is_intact(path, entries)]
            if not corrupt:
                raise
            self._discard_damaged_copies(corrupt, entries, error)
            self._delete(corrupt, error)

    def _discard_damaged_copies(self, paths: Sequence[str], entries: Mapping[str, Entry], cause: Exception) -> None:
        """Deletes the node's copies of shards that can't be read; stops the step if the shards themselves can."""
        if storage.is_local(self.directory):
            return
        node_cache.discard(node_cache.files([path for path in paths if storage.exists(path)], entries))
        intact = [path for path in paths if is_intact(path, entries)]
        if intact:
            raise CorruptShardError(
                f"{len(intact)} damaged copies of shards deleted from the node's cache ({intact[0]}, …): run again"
            ) from cause

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _entries(self) -> dict[str, Entry]:
        """Path -> entry of the files of a store in a bucket, by one listing; of those on a disk nothing is needed."""
        if storage.is_local(self.directory):
            return {}
        return {self._path(name): entry for name, entry in storage.list_entries(self.directory).items()}

    def _delete(self, corrupt: Sequence[str], cause: Exception | None = None) -> None:
        """Deletes corrupt shards, given by their paths, and stops the step if there are any."""
        for path in corrupt:
            storage.remove(path)
        if corrupt:
            raise CorruptShardError(
                f"{len(corrupt)} corrupt shards deleted from the feature store ({corrupt[0]}, …): run again to compute "
                "their features again"
            ) from cause


class Backbone(tf.Module):
    """The frozen backbone that computed the features of a store's directory, as part of any model that is exported.

    Attributes:
      size: side in pixels of its square input, see `components.shared.images.decoding.decode_and_resize`.
    """

    def __init__(self, directory: str):
        """Loads the backbone.

        Args:
          directory: `Manifest.directory`.
        """
        super().__init__()
        description = BackboneDescription.read(directory)
        self.size: int = description.size
        saved_model = os.path.join(directory, description.saved_model)
        self._loaded = node_cache.read_copy(node_cache.tree, saved_model, tf.saved_model.load)

    def __call__(self, encoded: tf.Tensor) -> tf.Tensor:
        """Computes features in a graph: encoded images, string [B] -> float16 [B, positions, channels]."""
        return self._loaded.features(encoded)

    def from_pixels(self, pixels: tf.Tensor) -> tf.Tensor:
        """Computes features of decoded images: float32 [B, size, size, 3] in 0..255 -> as `__call__`."""
        return self._loaded.from_pixels(pixels)
