"""Captions images with an exported model, by its signatures alone."""

import collections
import concurrent.futures
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeVar

import tensorflow as tf

from components.shared import storage
from components.shared.batching import batched_by_size
from components.shared.features import CorruptShardError, Manifest, MissingFeaturesError
from components.shared.images import inspection
from components.shared.images.ingested import (
    ImageChangedError,
    IngestedImage,
    UnreadableImageError,
    read_verified,
)
from components.shared.models.description import EXPORTED
from components.shared.progress import Progress

BATCH_SIZE = 64
NUM_CONCURRENT = 2  # batches at a time: the small matrix multiplications of a decoding step do not fill the cores
# bytes of encoded images that are held at a time, unless one image alone has more: as tensors of the batches that are
# captioned and of the next one, which TensorFlow copies from the bytes that were read
MAX_HELD_BYTES = 64 * 2**20
# what is wrong with the run's own data, and not with the model: no reason to reject it
DATA_ERRORS = (CorruptShardError, MissingFeaturesError, ImageChangedError, UnreadableImageError)
Batch = TypeVar("Batch")
Result = TypeVar("Result")


class RefusedImagesError(RuntimeError):
    """The model does not caption some of the images."""


def caption_split(model_dir: str, manifest: Manifest, images: Mapping[str, IngestedImage]) -> dict[str, str]:
    """Captions images: from the run's features where the model was trained on them, else from the files.

    Args:
      model_dir: a SavedModel with the signatures `serving_default` and `from_features`.
      manifest: the run's features.
      images: image ID -> image, of the images to caption.

    Returns:
      image ID -> caption.

    Raises:
      DATA_ERRORS: the run's features or images are not what they were, or cannot be read.
      RefusedImagesError: the model does not decode some of the files.
      Exception: the model does not load, or fails; of a SavedModel that was moved, truncated or made by other versions,
        any.
    """
    model = tf.saved_model.load(model_dir)
    # this key alone, which models of version 0.1 have, too
    feature_fingerprint = storage.read_json(os.path.join(model_dir, EXPORTED))["feature_fingerprint"]
    if feature_fingerprint == manifest.fingerprint:
        return _from_features(model.signatures["from_features"], manifest, images.keys())
    return _from_files(model.signatures["serving_default"], images)


def _from_features(signature, manifest: Manifest, image_ids: Collection[str]) -> dict[str, str]:
    def caption(batch: tuple[list[list[str]], tf.Tensor]) -> tuple[list[list[str]], list[bytes]]:
        names, features = batch
        return names, signature(features=features)["caption"].numpy().tolist()

    captions: dict[str, str] = {}
    progress = Progress("images captioned", len(image_ids))
    for names, batch_captions in map_concurrently(caption, manifest.read(image_ids, BATCH_SIZE)):
        for names_of_feature, text in zip(names, batch_captions, strict=True):
            captions.update(dict.fromkeys(names_of_feature, text.decode()))
        progress.update(sum(map(len, names)))
    return captions


def _from_files(signature, images: Mapping[str, IngestedImage]) -> dict[str, str]:
    def caption(batch: tuple[list[str], tf.Tensor]) -> tuple[list[str], list[bytes], list[bool]]:
        image_ids, encoded = batch
        outputs = signature(image_bytes=encoded)
        # models of version 0.1 fail at a file that they do not decode
        ok = outputs["ok"].numpy().tolist() if "ok" in outputs else [True] * len(image_ids)
        return image_ids, outputs["caption"].numpy().tolist(), ok

    captions, refused = {}, []
    progress = Progress("images captioned", len(images))
    for batch, batch_captions, batch_ok in map_concurrently(caption, _encoded_batches(images)):
        captions.update({image_id: text.decode() for image_id, text in zip(batch, batch_captions, strict=True)})
        refused += [image_id for image_id, ok in zip(batch, batch_ok, strict=True) if not ok]
        progress.update(len(batch))
    if refused:  # an empty sentence in place of a caption would be scored
        examples = ", ".join(refused[:3])
        raise RefusedImagesError(f"the model does not decode {len(refused)} of {len(images)} images: {examples}")
    return captions


def _encoded_batches(images: Mapping[str, IngestedImage]) -> Iterator[tuple[list[str], tf.Tensor]]:
    """Yields (image IDs, encoded images: string [B]), with as many images as `MAX_HELD_BYTES` allows."""
    contents = map(inspection.to_tf_decodable, read_verified(list(images.values())))
    files = zip(images, contents, strict=True)
    max_bytes = MAX_HELD_BYTES // (NUM_CONCURRENT + 2)
    for batch in batched_by_size(files, lambda file: len(file[1]), BATCH_SIZE, max_bytes):
        yield [image_id for image_id, _ in batch], tf.constant([data for _, data in batch])


def map_concurrently(function: Callable[[Batch], Result], batches: Iterable[Batch]) -> Iterator[Result]:
    """Yields the results of batches in order, with NUM_CONCURRENT calls at a time and no more batches read ahead."""
    with concurrent.futures.ThreadPoolExecutor(NUM_CONCURRENT) as pool:
        pending: collections.deque[concurrent.futures.Future] = collections.deque()
        for batch in batches:
            pending.append(pool.submit(function, batch))
            if len(pending) > NUM_CONCURRENT:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
