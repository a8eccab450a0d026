"""Monitoring of a training: TensorBoard logs, and captions that the model predicts for eval images."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from components.shared import bleu
from components.shared.models import decoding
from components.shared.models.decoding_settings import DecodingSettings
from components.shared.records import END_ID, PAD_ID, START_ID
from components.trainer.input_pipeline import CaptionedFeatures

BATCH_SIZE = 64  # images that are decoded at a time
NUM_SAMPLES = 3  # images whose captions are logged after each epoch
VAL_PREFIX = "val_"  # of the names of metrics on eval


class ValidationDecoder:
    """Captions the images of a split with greedy decoding while the model is trained."""

    def __init__(self, model: keras.Model, data: CaptionedFeatures, words: Sequence[str]):
        """Initializes the decoder.

        Args:
          model: the captioning model.
          data: the images with their captions.
          words: the vocabulary in the order of the ids.
        """
        self._features, self._captions, self._words = data.features(BATCH_SIZE), data.captions, words
        settings = DecodingSettings(beam_size=1)
        self._decode: Callable = tf.function(
            lambda features: decoding.decode(model, features, settings)[0], reduce_retracing=True
        )

    def captions(self) -> Iterator[np.ndarray]:
        """Yields the caption of each image, int32 [L], without <start>."""
        for features in self._features:
            yield from self._decode(features).numpy()

    def bleu_4(self) -> float:
        """Returns the corpus BLEU-4 on all images, as the evaluator does; references are the tokenized captions."""
        predictions = [_words_of(row) for row in self.captions()]
        references = [[_words_of(caption) for caption in captions] for captions in self._captions]
        counts = [bleu.counts(*pair) for pair in zip(predictions, references, strict=True)]
        return float(bleu.from_counts(np.sum(counts, axis=0), max_order=4))

    def samples(self) -> list[tuple[str, str]]:
        """Returns (prediction, a reference) of the first images."""
        predictions = self._decode(next(iter(self._features))[:NUM_SAMPLES]).numpy()
        references = [captions[0] for captions in self._captions[:NUM_SAMPLES]]
        return [(self._sentence(p), self._sentence(r)) for p, r in zip(predictions, references, strict=True)]

    def _sentence(self, ids: np.ndarray) -> str:
        return " ".join(self._words[word] for word in _words_of(ids))


class TensorBoardLogger:
    """Writes the metrics of a training to TensorBoard logs, named `train` and `validation` as Keras does."""

    def __init__(self, directory: str):
        """Creates the log files.

        Args:
          directory: the log directory for TensorBoard.
        """
        self._train, self._validation = (
            tf.summary.create_file_writer(os.path.join(directory, name)) for name in ("train", "validation")
        )

    def add(self, metrics: Mapping[str, float], samples: Sequence[tuple[str, str]]) -> None:
        """Writes the metrics and samples of an epoch, also to the log.

        Args:
          metrics: an epoch's metrics, see `TrainingLoop.run`.
          samples: pairs of prediction and reference; empty if the model has been trained further since the epoch.
        """
        step = int(metrics["epoch"]) - 1  # Keras counts from 0
        for name, value in metrics.items():
            writer = self._validation if name.startswith(VAL_PREFIX) else self._train
            with writer.as_default(step=step):
                if name != "epoch":
                    tf.summary.scalar("epoch_" + name.removeprefix(VAL_PREFIX), value)
        if samples:
            rows = [f"| {prediction} | {reference} |" for prediction, reference in samples]
            with self._validation.as_default(step=step):
                tf.summary.text("captions", "\n".join(["| prediction | reference |", "| --- | --- |", *rows]))
        self._train.flush()
        self._validation.flush()
        rounded: Any = {name: round(value, 4) for name, value in metrics.items() if name != "epoch"}
        logging.info("epoch %d: %s", metrics["epoch"], rounded)
        for prediction, reference in samples:
            logging.info("  prediction: %s | reference: %s", prediction, reference)


def _words_of(ids: np.ndarray) -> list[int]:
    """Returns a caption's words without <start>, <end> and padding."""
    return [int(word) for word in ids if word not in (PAD_ID, START_ID, END_ID)]
