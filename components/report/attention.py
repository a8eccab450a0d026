"""Where a model looked at each word, through its signature `attention`."""

import base64
import collections
import dataclasses
import os
from collections.abc import Collection

import numpy as np
import tensorflow as tf

from components.features import Manifest
from components.progress import Progress

SIGNATURE = "attention"
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
      model_dir: SavedModel; one without the signature, or of other features, has nothing to tell.
      manifest: of the run's features.
      image_ids: the pictures wanted.

    Returns:
      image id -> maps; empty where the model can't tell.
    """
    model = tf.saved_model.load(model_dir)
    if SIGNATURE not in model.signatures or "features" not in model.signatures[SIGNATURE].structured_input_signature[1]:
        return {}
    signature = model.signatures[SIGNATURE]
    ids_of, paths = collections.defaultdict(list), []
    for shard, pictures in manifest.shards_of(image_ids).items():
        paths.append(os.path.join(manifest.directory, shard))
        for image_id, sha in pictures.items():
            ids_of[sha].append(image_id)
    wanted = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant(list(ids_of)), tf.ones(len(ids_of), tf.int32)), 0
    )
    dataset = tf.data.TFRecordDataset(paths).map(manifest.parse, tf.data.AUTOTUNE)
    dataset = dataset.filter(lambda sha, feature: wanted.lookup(sha) == 1).batch(BATCH).prefetch(1)
    found, progress = {}, Progress("attention maps", len(ids_of))
    for shas, features in dataset:
        answer = {name: tensor.numpy() for name, tensor in signature(features=features).items()}
        for row, sha in enumerate(shas.numpy()):
            made = of_caption(answer["caption"][row].decode(), answer["attention"][row])
            found.update(dict.fromkeys(ids_of[sha.decode()], made))
        progress.advance(len(shas))
    return found


def of_caption(caption: str, weights: np.ndarray) -> Maps:
    """Keeps the maps of the words that were said.

    Args:
      caption: words between single spaces, T of them.
      weights: float32 [at least T, positions], a row a word.
    """
    words = caption.split()
    kept = np.asarray(weights, np.float32)[: len(words)]
    scaled = np.clip(kept / max(float(kept.max(initial=0.0)), 1e-9) * 255, 0, 255).round().astype(np.uint8)
    return Maps(words, base64.b64encode(scaled.tobytes()).decode())
