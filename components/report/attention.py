"""Where a model looked at each word, through its signature `attention_from_features`."""

import base64
import dataclasses
from collections.abc import Collection, Mapping

import numpy as np
import tensorflow as tf

from components.features import Manifest
from components.progress import Progress

SIGNATURE = "attention_from_features"
BATCH = 32


@dataclasses.dataclass(frozen=True)
class Maps:
    """The maps of one caption.

    Attributes:
      words: of the caption, T.
      weights: base64 of uint8 [T, rows, columns], 255 where most of all is looked at in this caption.
    """

    words: list[str]
    weights: str


def read(model_dir: str, manifest: Manifest, image_ids: Collection[str]) -> dict[str, Maps]:
    """Captions pictures with a model and keeps where it looked.

    Args:
      model_dir: SavedModel; its signature takes features, float16 [B, positions, channels], and gives `caption`, string
        [B], and `attention`, float32 [B, L, rows, columns], where L is at least the number of words.
      manifest: of the run's features.
      image_ids: the pictures wanted.

    Returns:
      image id -> maps; empty where the model has no such signature.
    """
    model = tf.saved_model.load(model_dir)
    if SIGNATURE not in model.signatures:
        return {}
    signature = model.signatures[SIGNATURE]
    found: dict[str, Maps] = {}
    progress = Progress("attention maps", len(image_ids))
    for names, features in manifest.read(image_ids, BATCH):
        answer = signature(features=features)
        captions, weights = answer["caption"].numpy(), answer["attention"].numpy()
        for same, caption, looked in zip(names, captions, weights, strict=True):
            found.update(dict.fromkeys(same, of_caption(caption.decode(), looked)))
        progress.advance(sum(map(len, names)))
    return found


def within(maps: Mapping[str, Maps], most: int) -> dict[str, Maps]:
    """As many of the maps, the first ones, as have at most that many bytes together."""
    kept, size = {}, 0
    for image_id, found in maps.items():
        size += len(found.weights)
        if size > most:
            break
        kept[image_id] = found
    return kept


def of_caption(caption: str, weights: np.ndarray) -> Maps:
    """Keeps the maps of the words that were said.

    Args:
      caption: words between single spaces, T of them.
      weights: float32 [at least T, rows, columns], a map a word.
    """
    words = caption.split()
    kept = np.asarray(weights, np.float32)[: len(words)]
    scaled = np.clip(kept / max(float(kept.max(initial=0.0)), 1e-9) * 255, 0, 255).round().astype(np.uint8)
    return Maps(words, base64.b64encode(scaled.tobytes()).decode())
