"""RefCLIPScore: Hessel et al. 2021, https://arxiv.org/abs/2104.08718, by a CLIP of a KerasHub preset in a directory.

A caption counts by how close CLIP's embedding of it is to that of the image, and to that of the closest reference. As
in the authors' program, texts are embedded with a prompt before them.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.shared import presets
from components.shared.images import decoding, inspection
from components.shared.images.ingested import IngestedImage, read_verified
from components.shared.progress import Progress

BACKBONE, TOKENIZER = "CLIPBackbone", "tokenizer.json"
PROMPT = "A photo depicts "
WEIGHT = 2.5  # of the cosine between caption and image, which is seldom above 0.4
BATCH_SIZE = 32


def check(directory: str | None) -> str:
    """Checks that a directory has the preset of a CLIP.

    Returns:
      a local copy.

    Raises:
      ValueError: there is none, it can't be read, or KerasHub is not installed.
    """
    if directory is None:
        raise ValueError("evaluator.clip_dir: RefCLIPScore needs the preset of a CLIP; set it to its directory")
    try:
        place, local = presets.local_copy(directory)
        os.listdir(local)
    except (OSError, ValueError) as error:
        raise ValueError(f"evaluator.clip_dir: {error}") from error
    label = _label(place)
    for name in (presets.CONFIG, presets.IMAGE_CONVERTER, TOKENIZER):
        content = presets.read_object(local, name, label)
        if name == presets.CONFIG and content["class_name"] != BACKBONE:
            raise ValueError(f"{label} holds a {content['class_name']}, not a {BACKBONE}; choose another preset")
    with presets.loading(label):
        return local


class Clip:
    """A model of images and texts, and the embeddings of the images and references of a test set."""

    def __init__(self, directory: str | None):
        """Loads the preset.

        Args:
          directory: the preset's path or URI.

        Raises:
          ValueError: see `check`; or it can't be loaded.
        """
        local = check(directory)
        with presets.loading(_label(str(directory))) as keras_hub:
            self._backbone = keras_hub.models.CLIPBackbone.from_preset(local, dtype="float32")
            self._preprocessor = keras_hub.models.CLIPPreprocessor.from_preset(local)
        self._known: dict[Any, np.ndarray] = {}

    def scores(
        self, captions: Sequence[str], references: Sequence[Sequence[str]], images: Sequence[IngestedImage]
    ) -> np.ndarray:
        """Computes the score of each image.

        Args:
          captions: the captions as the model says them, [n].
          references: the raw references of each image, [n], at least one each.
          images: the files, [n].

        Returns:
          float64 [n], 0 to 2.5 / 1.75: the harmonic mean of the two similarities.

        Raises:
          ImageChangedError, UnreadableImageError: an image is not what was ingested, or cannot be read.
        """
        said = self._texts(captions)
        to_image = WEIGHT * np.maximum(np.sum(said * self._images(images), axis=1), 0.0)
        owners = np.repeat(np.arange(len(references)), [len(texts) for texts in references])
        of_references = self._once("references", lambda: self._texts([text for texts in references for text in texts]))
        to_references = np.zeros(len(captions))
        np.maximum.at(to_references, owners, np.sum(said[owners] * of_references, axis=1))
        sums = to_image + to_references
        return np.divide(2 * to_image * to_references, sums, out=np.zeros_like(sums), where=sums > 0)

    def _texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embeds texts: float64 [n, D], of length 1."""
        unique = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        batches = []
        for start in range(0, len(unique), BATCH_SIZE):
            prompts = [PROMPT + text for text in list(unique)[start : start + BATCH_SIZE]]
            # it takes no prompts without images
            inputs = {"prompts": tf.constant(prompts), "images": tf.zeros((len(prompts), 1, 1, 3))}
            batches.append(self._backbone.get_text_embeddings(self._preprocessor(inputs)["token_ids"]))
        return _normalized(batches)[[unique[text] for text in texts]]

    def _images(self, images: Sequence[IngestedImage]) -> np.ndarray:
        """Embeds images, once for all models: float64 [n, D], of length 1."""

        def embed() -> np.ndarray:
            batches, batch = [], []
            progress = Progress("images embedded by CLIP", len(images))
            for number, data in enumerate(read_verified(images), start=1):
                pixels = decoding.decode(tf.constant(inspection.to_tf_decodable(data)))
                batch.append(self._preprocessor.image_converter(pixels))
                if len(batch) == BATCH_SIZE or number == len(images):
                    batches.append(self._backbone.get_vision_embeddings(tf.stack(batch)))
                    progress.update(len(batch))
                    batch = []
            return _normalized(batches)

        return self._once("images", embed)

    def _once(self, name: str, embed: Any) -> np.ndarray:
        if name not in self._known:
            self._known[name] = embed()
        return self._known[name]


def _label(place: str) -> str:
    return f"evaluator.clip_dir: {place if '://' in place else os.path.abspath(place)}"


def _normalized(batches: Sequence[Any]) -> np.ndarray:
    vectors = np.concatenate([np.asarray(batch, np.float64) for batch in batches])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
