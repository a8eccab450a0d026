"""Captions pictures with an exported model, through its signatures alone."""

import collections
import concurrent.futures
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeVar

import tensorflow as tf

from components import images
from components.features import Manifest
from components.progress import Progress

BATCH = 64
CONCURRENT = 2  # batches at a time: a word's small products do not fill the cores
Batch = TypeVar("Batch")
Answer = TypeVar("Answer")


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
    def caption(batch: tuple[list[list[str]], tf.Tensor]) -> tuple[list[list[str]], list[bytes]]:
        names, features = batch
        return names, signature(features=features)["caption"].numpy().tolist()

    captions: dict[str, str] = {}
    progress = Progress("pictures captioned", len(image_ids))
    for names, found in _answers(caption, manifest.read(image_ids, BATCH)):
        for same, said in zip(names, found, strict=True):
            captions.update(dict.fromkeys(same, said.decode()))
        progress.advance(sum(map(len, names)))
    return captions


def _from_files(signature, picture_paths: Mapping[str, str]) -> dict[str, str]:
    def caption(batch: list[str]) -> tuple[list[str], list[bytes]]:
        encoded = tf.constant([_read(picture_paths[image_id]) for image_id in batch])
        return batch, signature(image_bytes=encoded)["caption"].numpy().tolist()

    image_ids, captions = list(picture_paths), {}
    progress = Progress("pictures captioned", len(image_ids))
    batches = [image_ids[start : start + BATCH] for start in range(0, len(image_ids), BATCH)]
    for batch, found in _answers(caption, batches):
        captions.update({image_id: said.decode() for image_id, said in zip(batch, found, strict=True)})
        progress.advance(len(batch))
    return captions


def _answers(ask: Callable[[Batch], Answer], batches: Iterable[Batch]) -> Iterator[Answer]:
    """What is answered to each batch, in their order; CONCURRENT are asked at a time, and no more are read ahead."""
    with concurrent.futures.ThreadPoolExecutor(CONCURRENT) as pool:
        pending: collections.deque[concurrent.futures.Future] = collections.deque()
        for batch in batches:
            pending.append(pool.submit(ask, batch))
            if len(pending) > CONCURRENT:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _read(path: str) -> bytes:
    """A picture as the served model takes it."""
    with tf.io.gfile.GFile(path, "rb") as file:
        return images.for_tensorflow(file.read())
