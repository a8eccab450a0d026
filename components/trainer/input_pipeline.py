"""Batches of features and captions: features are read from the store's shards, token IDs are held in memory."""

import collections
import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from components.shared import record_files, records
from components.shared.datasets import without_autotuning
from components.shared.features import Manifest

PER_IMAGE = "per_image"  # of `loss_weighting`
PREFETCH = 2  # batches
MIN_CAPTIONS_PER_ROW = 8


def load_ids(files: Sequence[str], feature_spec: Mapping) -> dict[str, np.ndarray]:
    """Reads the token IDs of a split.

    Args:
      files: the record files of `transformed_examples`.
      feature_spec: the feature spec of the transform graph.

    Returns:
      image ID -> int32 [n, T].
    """
    spec = {name: feature_spec[name] for name in (records.IMAGE_ID, records.IDS)}
    ids: dict[str, np.ndarray] = {}
    for batch in record_files.read_examples(files, spec):
        captions = batch[records.IDS]  # (B, (n), (T))
        tokens = captions.values.to_tensor(records.PAD_ID).numpy().astype(np.int32)  # (N, T)
        # not `zip` with the ragged tensor, which takes 6 ms per image
        of_images = np.split(tokens, captions.row_splits.numpy()[1:-1])
        for image_id, rows in zip(batch[records.IMAGE_ID].numpy(), of_images, strict=True):
            ids[image_id.decode()] = rows
    return ids


@dataclasses.dataclass(frozen=True)
class CaptionSet:
    """The different captions of one image.

    Attributes:
      tokens: their token IDs, int32 [n, T].
      weights: float32 [n], how many captions of the image are equal to each.
    """

    tokens: np.ndarray
    weights: np.ndarray

    @classmethod
    def merge(cls, captions: np.ndarray) -> "CaptionSet":
        """Merges equal captions: their token IDs, int32 [n, T]."""
        first_index: dict[bytes, int] = {}
        counts: dict[bytes, int] = collections.Counter()
        for index, caption in enumerate(captions):
            key = caption.tobytes()
            first_index.setdefault(key, index)
            counts[key] += 1
        return cls(captions[list(first_index.values())], np.array(list(counts.values()), np.float32))


class CaptionedFeatures:
    """The images of a split in batches, each image with its captions.

    An image with far more captions than the others, as a tile that stands for many missing photos has, becomes several
    rows, so that it does not determine the size of a step.

    Attributes:
      num_batches: number of batches per epoch.
      num_images: number of images with different content.
      captions: the captions of each of these images, int32 [n, T]; in the order of `features`.
    """

    def __init__(
        self,
        manifest: Manifest,
        ids: Mapping[str, np.ndarray],
        batch_size: int,
        loss_weighting: str,
        captions_per_image: int = 0,
    ):
        """Assigns captions to features.

        Args:
          manifest: the manifest of the run's features.
          ids: image ID -> int32 [n, T], of the images of the split.
          batch_size: the approximate number of captions per batch, which holds whole images.
          loss_weighting: what has equal weight, "per_caption" or "per_image".
          captions_per_image: the number of captions that `shuffled` samples per image; 0 takes all.
        """
        self._manifest, self._loss_weighting, self._captions_per_image = manifest, loss_weighting, captions_per_image
        by_content: dict[str, list[np.ndarray]] = {}
        for images in manifest.shards_of(ids).values():
            for image_id, sha256 in images.items():  # the same content may have several image IDs
                by_content.setdefault(sha256, []).append(ids[image_id])
        self._sha256 = sorted(by_content)  # the order of the source, and that of the shards, ends here
        self.captions = [_stack(by_content[sha256]) for sha256 in self._sha256]
        self.num_images = len(self._sha256)
        self._all = [CaptionSet.merge(captions) for captions in self.captions]
        # of an epoch: how many rows each image has, and how many captions all have together
        num_captions = [len(captions) for captions in self.captions]
        num_unique = [len(caption_set.tokens) for caption_set in self._all]
        if captions_per_image:
            num_captions, num_unique = (
                [min(captions_per_image, number) for number in numbers] for numbers in (num_captions, num_unique)
            )
        self._captions_per_row = max(MIN_CAPTIONS_PER_ROW, 2 * sum(num_captions) // self.num_images)
        self._rows_per_image = [max(1, -(-number // self._captions_per_row)) for number in num_unique]
        num_rows = sum(self._rows_per_image)
        self._rows_per_batch = max(1, batch_size * num_rows // sum(num_captions))
        self.num_batches = -(-num_rows // self._rows_per_batch)

    def shuffled(self, seed: int, skip: int = 0) -> tf.data.Dataset:
        """Returns all images once, in an order that the seed determines: each order is as likely as any other.

        Args:
          seed: the seed of the order, and of the sampled captions.
          skip: the number of batches to leave out at the beginning; they are not read.

        Returns:
          `num_batches` batches of {"features": float16 [I, N, C], "tokens": int32 [I, n, T], "weights": float32
          [I, n]}, where n is the maximum number of captions per row in the batch and T the maximum length of a caption
          in it; padding has weight 0. Equal captions of an image are one, whose weight is their number; with
          "per_image" the weights of each image sum to the mean number of captions.
        """
        rng = np.random.default_rng(seed)
        table = self._whole_table
        if number := self._captions_per_image:
            table = self._table([CaptionSet.merge(rng.permutation(captions)[:number]) for captions in self.captions])
        return self._batches(table, rng.permutation(sum(self._rows_per_image)), skip)

    def in_order(self) -> tf.data.Dataset:
        """Returns all captions of all images once, always in the same order; for the batches see `shuffled`."""
        return self._batches(self._whole_table, np.arange(sum(self._rows_per_image)), 0)

    def images(self, seed: int, batch_size: int, skip: int) -> tf.data.Dataset:
        """Returns all images once, without their captions, in an order that the seed determines.

        Args:
          seed: the seed of the order.
          batch_size: images per batch.
          skip: the number of batches to leave out at the beginning; they are not read.

        Returns:
          batches of {"features": float16 [I, N, C], "image": int32 [I], the indices in `captions`}.
        """
        order = np.random.default_rng(seed).permutation(self.num_images)[skip * batch_size :].astype(np.int32)

        def add_image(index: tf.Tensor, feature: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"features": feature, "image": tf.gather(tf.constant(order), index)}

        images = self._manifest.read_in_order([self._sha256[image] for image in order]).map(add_image)
        return without_autotuning(images.batch(batch_size).prefetch(PREFETCH))

    def features(self, batch_size: int) -> tf.data.Dataset:
        """Returns the features of all images once, in the order of `captions`: batches of float16 [I, N, C]."""
        images = self._manifest.read_in_order(self._sha256).map(lambda index, feature: feature)
        return without_autotuning(images.batch(batch_size).prefetch(PREFETCH))

    def _batches(self, table: tuple, order: np.ndarray, skip: int) -> tf.data.Dataset:
        """Batches rows of images with their captions, padded to the batch's maximum number and length only."""
        tokens, weights = table
        image_of_row = np.repeat(np.arange(self.num_images), self._rows_per_image)
        order = order[skip * self._rows_per_batch :]

        def add_captions(index: tf.Tensor, features: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = tf.gather(tf.constant(order), index)
            return {
                "features": features,
                "tokens": tf.gather(tokens, rows).to_tensor(records.PAD_ID),
                "weights": tf.gather(weights, rows).to_tensor(),
            }

        images = self._manifest.read_in_order([self._sha256[image] for image in image_of_row[order]])
        batches = images.batch(self._rows_per_batch).map(add_captions, tf.data.AUTOTUNE)
        return without_autotuning(batches.prefetch(PREFETCH))

    @functools.cached_property
    def _whole_table(self) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        return self._table(self._all)

    def _table(self, caption_sets: Sequence[CaptionSet]) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Returns the captions of all rows and their weights: int32 [rows, n, T], float32 [rows, n]."""
        weights = [caption_set.weights for caption_set in caption_sets]
        if self._loss_weighting == PER_IMAGE:
            mean = sum(map(np.sum, weights)) / len(weights)
            weights = [row * (mean / row.sum()) for row in weights]
        row_lengths: list[int] = []  # in captions
        for caption_set, num_rows in zip(caption_sets, self._rows_per_image, strict=True):
            starts = np.arange(num_rows) * self._captions_per_row
            row_lengths += list(np.clip(len(caption_set.tokens) - starts, 0, self._captions_per_row))
        words = [caption_set.tokens[caption_set.tokens != records.PAD_ID] for caption_set in caption_sets]
        lengths = [np.count_nonzero(caption_set.tokens != records.PAD_ID, axis=1) for caption_set in caption_sets]
        captions = tf.RaggedTensor.from_row_lengths(np.concatenate(words), np.concatenate(lengths))
        return (
            tf.RaggedTensor.from_row_lengths(captions, row_lengths),
            tf.RaggedTensor.from_row_lengths(np.concatenate(weights).astype(np.float32), row_lengths),
        )


def _stack(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Concatenates captions, int32 [n, T] each, without empty ones; T becomes the maximum."""
    length = max(part.shape[1] for part in parts)
    padded = [np.pad(part, ((0, 0), (0, length - part.shape[1])), constant_values=records.PAD_ID) for part in parts]
    captions = np.concatenate(padded)
    return captions[(captions != records.PAD_ID).any(axis=1)]
