"""The speed of decoding, compared with the tutorial's way, and of beam search compared with greedy search."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.measuring import Result, in_turns
from benchmarks.train import size_of
from benchmarks.tutorial import TutorialTransformer
from components.shared.models import weights
from components.shared.models.decoding import beam_search, greedy
from components.shared.models.protocol import ModelInputs
from components.shared.models.settings import TransformerSettings
from components.shared.records import RESERVED_TOKENS, START_ID
from components.trainer import devices

# captions of Flickr8k's mean length, whatever the weights: both sides decode as many tokens
NUM_WORDS, LENGTH, NUM_IMAGES, NUM_NAIVE_IMAGES = 5000, 13, 64, 2
BEAM_SIZE, LENGTH_PENALTY = 3, 0.6
SETTINGS = TransformerSettings()  # the reference size
INPUTS = ModelInputs(
    vocabulary_size=NUM_WORDS + len(RESERVED_TOKENS), grid=(8, 8), channels=2048, max_length=39, compute_dtype="float32"
)


def decoding() -> Iterator[Result]:
    """Measures captions per second at the reference size, from features."""
    features = tf.constant(np.random.default_rng(0).normal(size=(NUM_IMAGES, 64, 2048)).astype(np.float32))
    keras.utils.set_random_seed(0)
    model = weights.build(SETTINGS, dataclasses.replace(INPUTS, compute_dtype=devices.compute_dtype("auto")))
    search = tf.function(lambda features: greedy(model, features, LENGTH, LENGTH - 1))
    ours, theirs = in_turns(lambda: search(features), _naive(features[:NUM_NAIVE_IMAGES]), rounds=3)
    our_rate, their_rate = NUM_IMAGES / ours, NUM_NAIVE_IMAGES / theirs
    detail = f"{size_of(SETTINGS)}, {LENGTH - 1} words: {our_rate:.1f} captions/s, tutorial {their_rate:.2f}"
    yield Result("decode.greedy_over_naive", our_rate / their_rate, "ratio", detail)
    beam = tf.function(lambda features: beam_search(model, features, LENGTH, LENGTH - 1, BEAM_SIZE, LENGTH_PENALTY))
    with_beam, without = in_turns(lambda: beam(features), lambda: search(features), rounds=3)
    detail = f"beam {BEAM_SIZE} {NUM_IMAGES / with_beam:.1f} captions/s, greedy {NUM_IMAGES / without:.1f}"
    yield Result("decode.beam3_over_greedy", without / with_beam, "ratio", detail)


def _naive(features: tf.Tensor) -> Callable[[], list[list[int]]]:
    """Decodes the tutorial's way: image by image, with a full pass of the model for every word."""
    model: Any = TutorialTransformer(SETTINGS, INPUTS)
    spec = tf.TensorSpec([1, 64, 2048]), tf.TensorSpec([1, None], tf.int32)
    read = tf.function(lambda image, tokens: model((image, tokens))[:, -1], input_signature=spec)

    def caption(image: tf.Tensor) -> list[int]:
        tokens = [START_ID]
        for _ in range(LENGTH):
            logits = read(image[None], tf.constant([tokens]))
            tokens.append(int(tf.argmax(logits[0])))
        return tokens

    return lambda: [caption(image) for image in features]
