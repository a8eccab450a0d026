"""What a training step gains from encoding a picture once for all its captions."""

import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from benchmarks.measuring import Result, in_turns
from components.feature_extractor.store import FeatureStore
from components.features import Manifest
from components.trainer import input_pipeline, optimization
from components.trainer.transformer import CaptionTransformer, TransformerSettings

CAPTIONS, A_PICTURE, LENGTH, STEPS = 60, 5, 16, 5
SETTINGS = TransformerSettings(5004, (8, 8), 2048, LENGTH + 1, encoder_layers=2, decoder_layers=2, d_model=256)
REFERENCE = TransformerSettings(5004, (8, 8), 2048, LENGTH + 1)
STORED = 640  # pictures


def shared_encoding() -> Iterator[Result]:
    """Training steps on pictures with five captions each, against steps on as many pairs of picture and caption."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(CAPTIONS // A_PICTURE, 64, 2048)).astype(np.float32)
    tokens = rng.integers(4, 5004, size=(CAPTIONS // A_PICTURE, A_PICTURE, LENGTH + 1)).astype(np.int32)
    pairs = np.repeat(features, A_PICTURE, axis=0), tokens.reshape(CAPTIONS, 1, LENGTH + 1)
    ours, theirs = in_turns(_steps(features, tokens), _steps(*pairs), rounds=3)
    rates = f"once a picture {STEPS * CAPTIONS / ours:.0f} captions/s, once a caption {STEPS * CAPTIONS / theirs:.0f}"
    yield Result("train.shared_over_repeated_encoding", theirs / ours, "ratio", f"2+2 layers, d_model 256: {rates}")


def reading() -> Iterator[Result]:
    """Captions a second that come out of the feature store, against those that training steps take."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as directory:
        store, ids = FeatureStore(directory), {}
        for shard in range(8):
            names = [f"{shard}-{index}" for index in range(STORED // 8)]
            store.add(names, rng.normal(size=(len(names), 64, 2048)).astype(np.float16))
            ids.update({name: rng.integers(4, 5004, size=(A_PICTURE, LENGTH + 1)).astype(np.int32) for name in names})
        shards: dict[str, dict[str, str]] = {}
        for name, shard_file in store.index().items():
            shards.setdefault(shard_file, {})[name] = name
        data = input_pipeline.make_dataset(Manifest("", directory, (8, 8), 2048, shards), ids, CAPTIONS, shuffle_seed=0)
        features = rng.normal(size=(CAPTIONS // A_PICTURE, 64, 2048)).astype(np.float32)
        tokens = rng.integers(4, 5004, size=(CAPTIONS // A_PICTURE, A_PICTURE, LENGTH + 1)).astype(np.int32)
        ours, theirs = in_turns(lambda: sum(1 for _ in data), _steps(features, tokens, REFERENCE), rounds=3)
    read, taken = STORED * A_PICTURE / ours, STEPS * CAPTIONS / theirs
    detail = f"InceptionV3's features {read:.0f} captions/s, training at the reference size {taken:.0f}"
    yield Result("train.reading_over_step", read / taken, "ratio", detail)


def _steps(features: np.ndarray, tokens: np.ndarray, settings: TransformerSettings = SETTINGS) -> Callable[[], object]:
    """Some training steps, as `fit` makes them."""
    model = CaptionTransformer(settings)
    model.compile(optimization.adam(settings.d_model, 4000), loss=optimization.masked_loss, jit_compile=False)
    inputs = {"features": features, "tokens": tokens[..., :-1]}
    data = tf.data.Dataset.from_tensors((inputs, tokens[..., 1:])).repeat(STEPS)
    return lambda: model.fit(data, verbose=0)
