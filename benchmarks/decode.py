"""What captions cost to say: against the tutorial's way, beam search against greedy, and for one picture."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.measuring import Result, in_turns
from benchmarks.tutorial import TutorialTransformer
from components.records import RESERVED_TOKENS, START_ID
from components.trainer import devices
from components.trainer.decoding import beam_search, greedy
from components.trainer.transformer import CaptionTransformer, TransformerSettings
from components.trainer.warm_start import make_weights

# captions of Flickr8k's mean length, whatever the weights: all sides say as much
WORDS, LENGTH, PICTURES, NAIVE_PICTURES = 5000, 13, 64, 2
SETTINGS = TransformerSettings(WORDS + len(RESERVED_TOKENS), (8, 8), 2048, 39)  # the reference size


def decoding() -> Iterator[Result]:
    """Captions a second at the reference size, from features."""
    features = tf.constant(np.random.default_rng(0).normal(size=(PICTURES, 64, 2048)).astype(np.float32))
    keras.utils.set_random_seed(0)
    model = CaptionTransformer(TransformerSettings(**{**vars(SETTINGS), "precision": devices.precision("auto")}))
    make_weights(model)
    search = tf.function(lambda given: greedy(model, given, LENGTH, LENGTH - 1))
    ours, theirs = in_turns(lambda: search(features), _naive(features[:NAIVE_PICTURES]), rounds=3)
    our_rate, their_rate = PICTURES / ours, NAIVE_PICTURES / theirs
    detail = f"4+4 layers, d_model 512, {LENGTH - 1} words: {our_rate:.1f} captions/s, tutorial {their_rate:.2f}"
    yield Result("decode.greedy_over_naive", our_rate / their_rate, "ratio", detail)
    beam = tf.function(lambda given: beam_search(model, given, LENGTH, LENGTH - 1, 3, 0.6))
    with_beam, without = in_turns(lambda: beam(features), lambda: search(features), rounds=3)
    detail = f"beam 3 {PICTURES / with_beam:.1f} captions/s, greedy {PICTURES / without:.1f}"
    yield Result("decode.beam3_over_greedy", without / with_beam, "ratio", detail)


def _naive(features: tf.Tensor) -> Callable[[], list[list[int]]]:
    """The tutorial's way: picture by picture, and the whole model again for every word."""
    model: Any = TutorialTransformer(SETTINGS)
    whole = tf.TensorSpec([1, 64, 2048]), tf.TensorSpec([1, None], tf.int32)
    read = tf.function(lambda picture, tokens: model((picture, tokens))[:, -1], input_signature=whole)

    def caption(picture: tf.Tensor) -> list[int]:
        tokens = [START_ID]
        for _ in range(LENGTH):
            logits = read(picture[None], tf.constant([tokens]))
            tokens.append(int(tf.argmax(logits[0])))
        return tokens

    return lambda: [caption(picture) for picture in features]
