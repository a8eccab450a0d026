"""What a training step gains from encoding a picture once for all its captions."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from benchmarks.measuring import Result, in_turns
from components.trainer import optimization
from components.trainer.transformer import CaptionTransformer, TransformerSettings

CAPTIONS, A_PICTURE, LENGTH, STEPS = 60, 5, 16, 5
SETTINGS = TransformerSettings(5004, (8, 8), 2048, LENGTH + 1, encoder_layers=2, decoder_layers=2, d_model=256)


def shared_encoding() -> Iterator[Result]:
    """Training steps on pictures with five captions each, against steps on as many pairs of picture and caption."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(CAPTIONS // A_PICTURE, 64, 2048)).astype(np.float32)
    tokens = rng.integers(4, 5004, size=(CAPTIONS // A_PICTURE, A_PICTURE, LENGTH + 1)).astype(np.int32)
    pairs = np.repeat(features, A_PICTURE, axis=0), tokens.reshape(CAPTIONS, 1, LENGTH + 1)
    ours, theirs = in_turns(_steps(features, tokens), _steps(*pairs), rounds=3)
    rates = f"once a picture {STEPS * CAPTIONS / ours:.0f} captions/s, once a caption {STEPS * CAPTIONS / theirs:.0f}"
    yield Result("train.shared_over_repeated_encoding", theirs / ours, "ratio", f"2+2 layers, d_model 256: {rates}")


def _steps(features: np.ndarray, tokens: np.ndarray) -> Callable[[], object]:
    """Some training steps, as `fit` makes them."""
    model = CaptionTransformer(SETTINGS)
    model.compile(optimization.adam(SETTINGS.d_model, 4000), loss=optimization.masked_loss, jit_compile=False)
    inputs = {"features": features, "tokens": tokens[..., :-1]}
    data = tf.data.Dataset.from_tensors((inputs, tokens[..., 1:])).repeat(STEPS)
    return lambda: model.fit(data, verbose=0)
