"""What a training step takes, against the usual tutorial's loop, and whether it ever waits for its input."""

import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.measuring import Result, in_turns, peak_memory
from benchmarks.tutorial import TutorialTransformer, masked_loss
from components.datasets import without_autotuning
from components.feature_extractor.store import FeatureStore
from components.features import Manifest
from components.records import END_ID, RESERVED_TOKENS, START_ID
from components.trainer import devices, steps
from components.trainer.input_pipeline import CaptionedFeatures
from components.trainer.optimization import OptimizerSettings, make_optimizer
from components.trainer.transformer import CaptionTransformer, TransformerSettings
from components.trainer.warm_start import make_weights

ROOT = pathlib.Path(__file__).parent.parent
# Flickr8k's: five captions a picture, 11.8 words each on average, 37 at most
PICTURES, A_PICTURE, MEAN, SPREAD, LONGEST = 130, 5, 11.8, 3.9, 37
CAPTIONS, WORDS, EPOCHS, STEPS = 64, 5000, 4, 3
PEAK = "from benchmarks import train\nprint(train.peak_of_training())"
SETTINGS = TransformerSettings(WORDS + len(RESERVED_TOKENS), (8, 8), 2048, LONGEST + 2)  # the reference size


def over_naive() -> Iterator[Result]:
    """Training steps at the reference size against the tutorial's, and what a few epochs of either come to."""
    with tempfile.TemporaryDirectory() as directory:
        data, pairs = _corpus(pathlib.Path(directory))
        our_epoch, our_steps = _ours(data)
        their_epoch, their_steps = _theirs(*pairs)
        ours, theirs = in_turns(our_steps, their_steps, rounds=2)
        losses = [(our_epoch(), their_epoch()) for _ in range(EPOCHS)]
        taken = sum(len(batch["weights"]) for batch in data.in_order().take(STEPS)) * A_PICTURE
    our_rate, their_rate = taken / ours, STEPS * CAPTIONS / theirs
    detail = (
        f"4+4 layers, d_model 512: {our_rate:.0f} captions/s in {devices.precision('auto')}, tutorial {their_rate:.0f}"
    )
    yield Result("train.over_naive", our_rate / their_rate, "ratio", detail)
    detail = ", ".join(f"{mine:.3f} and {their:.3f}" for mine, their in losses)
    yield Result(
        "train.loss_over_naive", losses[-1][0] / losses[-1][1], "ratio", f"nats a word, epoch by epoch: {detail}"
    )
    command = [sys.executable, "-c", PEAK]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    yield Result("train.peak", float(output.split()[-1]), "GB", "an epoch of ours; TensorFlow included")


def peak_of_training() -> float:
    """Trains for an epoch; the most memory of this process so far, in GB."""
    with tempfile.TemporaryDirectory() as directory:
        epoch, _ = _ours(_corpus(pathlib.Path(directory))[0])
        epoch()
    return peak_memory()


def reading() -> Iterator[Result]:
    """Captions a second that come out of the feature store, against those that training steps take."""
    with tempfile.TemporaryDirectory() as directory:
        data, _ = _corpus(pathlib.Path(directory))
        _, our_steps = _ours(data)
        read, taken = in_turns(lambda: sum(1 for _ in data.shuffled(0)), our_steps, rounds=3)
    rate = PICTURES * A_PICTURE / read
    step_rate = STEPS * CAPTIONS / taken
    detail = f"InceptionV3's features {rate:.0f} captions/s, training at the reference size {step_rate:.0f}"
    yield Result("train.reading_over_step", rate / step_rate, "ratio", detail)


def _corpus(directory: pathlib.Path) -> tuple[CaptionedFeatures, tuple[np.ndarray, np.ndarray]]:
    """Drawn features, and captions that can be learnt in part: each word tells which ones may follow."""
    rng = np.random.default_rng(0)
    store, names = FeatureStore(str(directory)), [str(number) for number in range(PICTURES)]
    features = rng.normal(size=(PICTURES, 64, 2048)).astype(np.float16)
    store.add(names, features)
    [shard] = set(store.index().values())
    manifest = Manifest("", str(directory), (8, 8), 2048, {shard: {name: name for name in names}})
    tokens = np.zeros((PICTURES, A_PICTURE, LONGEST + 2), np.int32)
    following = rng.integers(len(RESERVED_TOKENS), WORDS, size=(WORDS + len(RESERVED_TOKENS), 8))
    for caption in tokens.reshape(-1, LONGEST + 2):
        length = int(np.clip(rng.normal(MEAN, SPREAD), 4, LONGEST))
        caption[0] = START_ID
        for place in range(1, length + 1):
            caption[place] = rng.choice(following[caption[place - 1]])
        caption[length + 1] = END_ID
    data = CaptionedFeatures(manifest, dict(zip(names, tokens, strict=True)), CAPTIONS)
    return data, (np.repeat(features.astype(np.float32), A_PICTURE, axis=0), tokens.reshape(-1, LONGEST + 2))


def _ours(data: CaptionedFeatures) -> tuple[Callable[[], float], Callable[[], object]]:
    """An epoch, which gives its loss, and some steps, of the real training step."""
    keras.utils.set_random_seed(0)
    settings = TransformerSettings(**{**vars(SETTINGS), "precision": devices.precision("auto")})
    model = CaptionTransformer(settings)
    make_weights(model)
    optimizer = make_optimizer(OptimizerSettings(warmup=100), settings.d_model, 1)
    optimizer.build(model.trainable_variables)
    step = tf.function(steps.make_train_step(model, optimizer), input_signature=[data.in_order().element_spec])
    seeds = iter(range(1000))

    def epoch() -> float:
        sums = [{name: float(value) for name, value in step(batch).items()} for batch in data.shuffled(next(seeds))]
        return sum(each["loss"] for each in sums) / sum(each["words"] for each in sums)

    return epoch, lambda: [float(step(batch)["loss"]) for batch in data.in_order().take(STEPS)]


def _theirs(features: np.ndarray, tokens: np.ndarray) -> tuple[Callable[[], float], Callable[[], object]]:
    """The same of the tutorial: `fit` on pairs of picture and caption."""
    keras.utils.set_random_seed(0)
    model: Any = TutorialTransformer(SETTINGS)
    model.compile(
        make_optimizer(OptimizerSettings(warmup=100), SETTINGS.d_model, 1), loss=masked_loss, jit_compile=False
    )
    pairs = tf.data.Dataset.from_tensor_slices(((features, tokens[:, :-1]), tokens[:, 1:]))
    few = without_autotuning(pairs.batch(CAPTIONS).take(STEPS).cache())
    mixed = without_autotuning(pairs.shuffle(len(tokens), seed=0).batch(CAPTIONS))
    return lambda: model.fit(mixed, verbose=0).history["loss"][0], lambda: model.fit(few, verbose=0)
