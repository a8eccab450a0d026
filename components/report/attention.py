"""Attention weights per word, from a model's signature `attention_from_features`."""

import base64
import dataclasses
from collections.abc import Collection, Mapping

import numpy as np
import tensorflow as tf

from components.shared.features import Manifest
from components.shared.progress import Progress

SIGNATURE = "attention_from_features"
BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class AttentionMaps:
    """The attention maps of one caption.

    Attributes:
      words: the T words of the caption.
      weights: base64 of uint8 [T, rows, columns]; 255 is the caption's largest weight.
    """

    words: list[str]
    weights: str


def read(model_dir: str, manifest: Manifest, image_ids: Collection[str]) -> dict[str, AttentionMaps]:
    """Captions images with a model, and collects its attention weights.

    Args:
      model_dir: a SavedModel; its signature takes features, float16 [B, positions, channels], and returns `caption`,
        string [B], `words`, string [B, L], "" after a caption's last word, and `attention`, float32 [B, L, rows,
        columns].
      manifest: the run's features.
      image_ids: the images to caption.

    Returns:
      image ID -> maps; empty where the model has no such signature.
    """
    model = tf.saved_model.load(model_dir)
    if SIGNATURE not in model.signatures:
        return {}
    signature = model.signatures[SIGNATURE]
    maps: dict[str, AttentionMaps] = {}
    progress = Progress("attention maps", len(image_ids))
    for names, features in manifest.read(image_ids, BATCH_SIZE):
        outputs = signature(features=features)
        for names_of_feature, words, weights in zip(names, _words(outputs), outputs["attention"].numpy(), strict=True):
            maps.update(dict.fromkeys(names_of_feature, from_weights(words, weights)))
        progress.update(sum(map(len, names)))
    return maps


def truncate_to_bytes(maps: Mapping[str, AttentionMaps], max_bytes: int) -> dict[str, AttentionMaps]:
    """Keeps the first maps that have at most `max_bytes` together."""
    kept, size = {}, 0
    for image_id, image_maps in maps.items():
        size += len(image_maps.weights)
        if size > max_bytes:
            break
        kept[image_id] = image_maps
    return kept


def from_weights(words: list[str], weights: np.ndarray) -> AttentionMaps:
    """Quantizes the attention weights of a caption's words.

    Args:
      words: the T words.
      weights: a map per word, float32 [T or more, rows, columns].
    """
    word_weights = np.asarray(weights, np.float32)[: len(words)]
    largest = max(float(word_weights.max(initial=0.0)), 1e-9)
    scaled = np.clip(word_weights / largest * 255, 0, 255).round().astype(np.uint8)
    return AttentionMaps(words, base64.b64encode(scaled.tobytes()).decode())


def _words(outputs: Mapping[str, tf.Tensor]) -> list[list[str]]:
    """The words of each caption; models of version 0.1 return captions alone, in which they stand between blanks."""
    if "words" in outputs:
        return [[word.decode() for word in row if word] for row in outputs["words"].numpy()]
    return [caption.decode().split() for caption in outputs["caption"].numpy()]
