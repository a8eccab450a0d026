"""What is seen of a training while it runs: curves for TensorBoard, and what the model says of some pictures."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu

from components.records import END_ID, PAD_ID, START_ID
from components.trainer import decoding
from components.trainer.input_pipeline import CaptionedFeatures

SAMPLES = 3  # pictures whose captions are shown after each epoch
HELD_OUT = "val_"  # what the figures of eval begin with


class Reader:
    """Lets a model caption pictures of a split while it is trained, greedily."""

    def __init__(self, model: keras.Model, data: CaptionedFeatures, words: Sequence[str]):
        """Remembers them.

        Args:
          model: any that can be decoded.
          data: the pictures.
          words: in the order of the ids.
        """
        self._data, self._words = data.in_order(), words
        settings = decoding.DecodingSettings(beam_size=1)
        self._decode: Callable = tf.function(
            lambda features: decoding.decode(model, features, settings)[0], reduce_retracing=True
        )

    def bleu_4(self) -> float:
        """Corpus BLEU-4 on all pictures (Papineni et al. 2002), against their captions as the model reads them."""
        said: list[list[int]] = []
        references: list[list[list[int]]] = []
        for batch in self._data:
            said += [_words_of(row) for row in self._decode(batch["features"]).numpy()]
            tokens = batch["tokens"].numpy()
            references += [[_words_of(row) for row in picture if row.any()] for picture in tokens]
        return float(corpus_bleu(references, said, smoothing_function=SmoothingFunction().method1))

    def samples(self) -> list[tuple[str, str]]:
        """(what the model says, a caption) of the first pictures."""
        batch = next(iter(self._data))
        said = self._decode(batch["features"][:SAMPLES]).numpy()
        given = batch["tokens"][:SAMPLES, 0].numpy()
        return [(self._sentence(ours), self._sentence(theirs)) for ours, theirs in zip(said, given, strict=True)]

    def _sentence(self, ids: np.ndarray) -> str:
        return " ".join(self._words[word] for word in _words_of(ids))


class Curves:
    """TensorBoard's logs of a training: `train` and `validation`, as Keras names them."""

    def __init__(self, directory: str):
        """Begins the logs.

        Args:
          directory: of TensorBoard.
        """
        self._train, self._held_out = (
            tf.summary.create_file_writer(os.path.join(directory, name)) for name in ("train", "validation")
        )

    def add(self, outcome: Mapping[str, float], samples: Sequence[tuple[str, str]]) -> None:
        """Writes what an epoch came to, also to the log.

        Args:
          outcome: of `Loop.run`.
          samples: of `Reader.samples`; empty where an earlier run has trained the model on since.
        """
        step = int(outcome["epoch"]) - 1  # Keras counts from 0
        for name, value in outcome.items():
            held_out = name.startswith(HELD_OUT)
            with (self._held_out if held_out else self._train).as_default(step=step):
                if name != "epoch":
                    tf.summary.scalar("epoch_" + name.removeprefix(HELD_OUT), value)
        if samples:
            rows = [f"| {ours} | {theirs} |" for ours, theirs in samples]
            with self._held_out.as_default(step=step):
                tf.summary.text("captions", "\n".join(["| the model | a person |", "| --- | --- |", *rows]))
        self._train.flush()
        self._held_out.flush()
        figures: Any = {name: round(value, 4) for name, value in outcome.items() if name != "epoch"}
        logging.info("epoch %d: %s", outcome["epoch"], figures)
        for ours, theirs in samples:
            logging.info("  says '%s' where a person said '%s'", ours, theirs)


def _words_of(ids: np.ndarray) -> list[int]:
    """A caption's words without <start>, <end> and padding."""
    return [int(word) for word in ids if word not in (PAD_ID, START_ID, END_ID)]
