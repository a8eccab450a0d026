"""Features, streamed from the store's shards, meet word ids, held in memory."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from components import records
from components.datasets import without_autotuning
from components.features import Manifest

CAPTIONS, PICTURES = "captions", "pictures"  # what weighs alike
PREFETCH = 2  # batches
SHUFFLE = 512  # pictures in the shuffle buffer: 128 MiB of InceptionV3 features


def load_ids(files: Sequence[str], feature_spec: Mapping) -> dict[str, np.ndarray]:
    """Reads the word ids of a split.

    Args:
      files: of `transformed_examples`.
      feature_spec: of the transform graph.

    Returns:
      image id -> int32 [n, T].
    """
    spec = {name: feature_spec[name] for name in (records.IMAGE_ID, records.IDS)}
    ids: dict[str, np.ndarray] = {}
    for batch in records.read_examples(files, spec):
        for image_id, rows in zip(batch[records.IMAGE_ID].numpy(), batch[records.IDS], strict=True):
            ids[image_id.decode()] = rows.to_tensor().numpy().astype(np.int32)
    return ids


class CaptionedFeatures:
    """The pictures of a split, each with its captions, in batches.

    Attributes:
      steps: batches an epoch.
      pictures: how many there are.
    """

    def __init__(self, manifest: Manifest, ids: Mapping[str, np.ndarray], captions: int, alike: str = CAPTIONS):
        """Finds out which record of which shard has which captions.

        Args:
          manifest: of the run's features.
          ids: image id -> int32 [n, T], of the pictures wanted.
          captions: a batch holds about this many, as whole pictures.
          alike: what has equal weight: CAPTIONS or PICTURES, however many captions these have.
        """
        self._manifest, self._alike = manifest, alike
        by_record: dict[str, list[np.ndarray]] = {}
        shards = manifest.shards_of(ids)
        for shard, pictures in shards.items():
            for image_id, sha in pictures.items():
                # the same picture may come under several names
                by_record.setdefault(f"{shard}/{sha}", []).append(ids[image_id])
        self._shards = list(shards)
        self._captions = [_without_empty(np.concatenate(_same_length(parts))) for parts in by_record.values()]
        self._row_of = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(list(by_record)), tf.range(len(by_record), dtype=tf.int64)),
            -1,
        )
        self._all = _table(self._captions, alike)
        self.pictures = len(by_record)
        self._batch = max(1, captions * self.pictures // sum(map(len, ids.values())))  # pictures
        self.steps = -(-self.pictures // self._batch)

    def shuffled(self, seed: int, captions_a_picture: int = 0, skip: int = 0) -> tf.data.Dataset:
        """All pictures once, in an order that the seed determines.

        Args:
          seed: of the order of shards and pictures, and of the captions that are drawn.
          captions_a_picture: takes as many of each picture's captions, drawn by the seed; 0 takes all.
          skip: leaves out this many batches at the beginning.

        Returns:
          `steps` batches of {"features": float16 [P, N, C], "tokens": int32 [P, n, T], "weights": float32 [P, n]},
          where n is the most captions of any picture of the batch and T its longest; what is not there is padding of
          weight 0. A picture's equal captions are one, whose weight is their number; where PICTURES weigh alike, the
          weights of each sum to the mean number of captions.
        """
        shards = tf.data.Dataset.from_tensor_slices(self._shards)
        shards = shards.shuffle(len(self._shards), seed=seed, reshuffle_each_iteration=False)
        pictures = self._pictures(shards).shuffle(SHUFFLE, seed=seed, reshuffle_each_iteration=False)
        return self._batches(pictures, self._drawn(captions_a_picture, seed) if captions_a_picture else self._all, skip)

    def in_order(self) -> tf.data.Dataset:
        """All pictures once, always in the same order; batches as of `shuffled`."""
        return self._batches(self._pictures(tf.data.Dataset.from_tensor_slices(self._shards)), self._all)

    def _pictures(self, shards: tf.data.Dataset) -> tf.data.Dataset:
        """Shards -> (number of the picture, its feature)."""
        serialized = shards.interleave(self._manifest.serialized, cycle_length=4, block_length=16)
        pictures = self._manifest.records(serialized).map(
            lambda record, feature: (self._row_of.lookup(record), feature)
        )
        return pictures.filter(lambda row, feature: row >= 0)

    def _batches(self, pictures: tf.data.Dataset, table: tuple, skip: int = 0) -> tf.data.Dataset:
        """Gives pictures their captions, as many of them and as long as the batch needs."""

        def finish(row, feature):
            tokens, weights = (tf.gather(part, row) for part in table)  # (P, most captions, T), (P, most captions)
            most = tf.reduce_max(tf.math.count_nonzero(weights, axis=-1))
            longest = tf.reduce_max(tf.math.count_nonzero(tokens != records.PAD_ID, axis=-1))
            return {"features": feature, "tokens": tokens[:, :most, :longest], "weights": weights[:, :most]}

        batches = pictures.batch(self._batch).skip(skip).map(finish, tf.data.AUTOTUNE).prefetch(PREFETCH)
        return without_autotuning(batches)

    def _drawn(self, number: int, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
        rng = np.random.default_rng(seed)
        return _table([rng.permutation(captions)[:number] for captions in self._captions], self._alike)


def _same_length(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    longest = max(part.shape[1] for part in parts)
    return [np.pad(part, ((0, 0), (0, longest - part.shape[1])), constant_values=records.PAD_ID) for part in parts]


def _without_empty(captions: np.ndarray) -> np.ndarray:
    return captions[(captions != records.PAD_ID).any(axis=1)]


def _table(captions: Sequence[np.ndarray], alike: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Different captions and their weights: int32 [pictures, most captions, T], float32 [pictures, most captions]."""
    different = [np.unique(each, axis=0, return_counts=True) for each in captions]
    most, longest = max(len(counts) for _, counts in different), max(each.shape[1] for each in captions)
    rows = np.full((len(different), most, longest), records.PAD_ID, np.int32)
    weights = np.zeros((len(different), most), np.float32)
    for row, (texts, counts) in enumerate(different):
        rows[row, : len(texts), : texts.shape[1]] = texts
        weights[row, : len(texts)] = counts
    if alike == PICTURES:
        weights *= weights.sum() / len(weights) / weights.sum(axis=1, keepdims=True)
    return tf.constant(rows), tf.constant(weights)
