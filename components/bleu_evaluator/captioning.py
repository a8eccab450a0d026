"""Captions pictures with an exported model, through its signatures alone."""

import json
import os
from collections.abc import Collection, Mapping

import tensorflow as tf

from components import images
from components.features import Manifest
from components.progress import Progress

BATCH = 64


def caption_split(model_dir: str, manifest: Manifest, picture_paths: Mapping[str, str]) -> dict[str, str]:
    """Captions pictures: from the run's features where the model was trained on such, else from the files.

    Args:
      model_dir: SavedModel with the signatures `serving_default` and `from_features`.
      manifest: the run's features.
      picture_paths: image id -> file, of the pictures wanted.

    Returns:
      image id -> caption.
    """
    model = tf.saved_model.load(model_dir)
    with tf.io.gfile.GFile(os.path.join(model_dir, "assets.extra", "captioner.json")) as file:
        trained_on = json.load(file)["feature_fingerprint"]
    if trained_on == manifest.fingerprint:
        return _from_features(model.signatures["from_features"], manifest, picture_paths.keys())
    return _from_files(model.signatures["serving_default"], picture_paths)


def _from_features(signature, manifest: Manifest, image_ids: Collection[str]) -> dict[str, str]:
    captions: dict[str, str] = {}
    progress = Progress("pictures captioned", len(image_ids))
    for names, features in manifest.read(image_ids, BATCH):
        for same, caption in zip(names, signature(features=features)["caption"].numpy(), strict=True):
            captions.update(dict.fromkeys(same, caption.decode()))
        progress.advance(sum(map(len, names)))
    return captions


def _from_files(signature, picture_paths: Mapping[str, str]) -> dict[str, str]:
    image_ids, captions = list(picture_paths), {}
    progress = Progress("pictures captioned", len(image_ids))
    for start in range(0, len(image_ids), BATCH):
        batch = image_ids[start : start + BATCH]
        encoded = tf.constant([_read(picture_paths[image_id]) for image_id in batch])
        found = signature(image_bytes=encoded)["caption"].numpy()
        captions.update({image_id: caption.decode() for image_id, caption in zip(batch, found, strict=True)})
        progress.advance(len(batch))
    return captions


def _read(path: str) -> bytes:
    """A picture as the served model takes it."""
    with tf.io.gfile.GFile(path, "rb") as file:
        return images.for_tensorflow(file.read())
