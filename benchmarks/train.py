"""The speed of a training step against the loop of the usual tutorial, and whether it ever waits for its input."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.measuring import Result, in_turns, peak_memory, peak_of
from benchmarks.tutorial import TutorialTransformer, masked_loss
from components.feature_extractor.store import FeatureStore
from components.shared.datasets import without_autotuning
from components.shared.features import Manifest
from components.shared.models import weights
from components.shared.models.protocol import ModelInputs
from components.shared.models.settings import TransformerSettings
from components.shared.records import END_ID, RESERVED_TOKENS, START_ID
from components.trainer import devices, steps
from components.trainer.input_pipeline import CaptionedFeatures
from components.trainer.optimization import make_optimizer
from components.trainer.settings import OptimizerSettings, TrainerSettings

# Flickr8k's captions: five per image, 11.8 words on average, at most 37
NUM_IMAGES, CAPTIONS_PER_IMAGE, MEAN_LENGTH, LENGTH_DEVIATION, MAX_LENGTH = 130, 5, 11.8, 3.9, 37
NUM_WORDS, EPOCHS, STEPS = 5000, 4, 3
SETTINGS = TrainerSettings(model=TransformerSettings(), optimizer=OptimizerSettings(warmup_steps=100))
INPUTS = ModelInputs(
    vocabulary_size=NUM_WORDS + len(RESERVED_TOKENS),
    grid=(8, 8),
    channels=2048,
    max_length=MAX_LENGTH + 2,
    compute_dtype="float32",
)


def size_of(settings: TransformerSettings) -> str:
    """A model's size, for the details of a result."""
    return f"{settings.num_encoder_layers}+{settings.num_decoder_layers} layers, d_model {settings.d_model}"


def over_naive() -> Iterator[Result]:
    """Compares training steps at the reference size with the tutorial's, and the losses after a few epochs."""
    with tempfile.TemporaryDirectory() as directory:
        data, pairs = _corpus(directory)
        our_epoch, our_steps = _ours(data)
        their_epoch, their_steps = _theirs(*pairs)
        ours, theirs = in_turns(our_steps, their_steps, rounds=2)
        losses = [(our_epoch(), their_epoch()) for _ in range(EPOCHS)]
        num_captions = sum(len(batch["weights"]) for batch in data.in_order().take(STEPS)) * CAPTIONS_PER_IMAGE
    our_rate, their_rate = num_captions / ours, STEPS * SETTINGS.batch_size / theirs
    dtype = devices.compute_dtype("auto")
    detail = f"{size_of(SETTINGS.model)}: {our_rate:.0f} captions/s in {dtype}, tutorial {their_rate:.0f}"
    yield Result("train.over_naive", our_rate / their_rate, "ratio", detail)
    detail = ", ".join(f"{our_loss:.3f} and {their_loss:.3f}" for our_loss, their_loss in losses)
    yield Result("train.loss_over_naive", losses[-1][0] / losses[-1][1], "ratio", f"nats per word, by epoch: {detail}")
    yield Result("train.peak", peak_of(peak_of_training), "GB", "one epoch of ours, TensorFlow included")


def peak_of_training() -> float:
    """Trains for one epoch and returns the peak memory of this process in GB."""
    with tempfile.TemporaryDirectory() as directory:
        epoch, _ = _ours(_corpus(directory)[0])
        epoch()
    return peak_memory()


def reading() -> Iterator[Result]:
    """Compares the captions per second read from the feature store with those that training steps need."""
    with tempfile.TemporaryDirectory() as directory:
        rate, _, step_rate = reading_rates(directory)
    detail = f"InceptionV3's features {rate:.0f} captions/s, training at the reference size {step_rate:.0f}"
    yield Result("train.reading_over_step", rate / step_rate, "ratio", detail)


def reading_rates(store_dir: str, forget: Callable[[], None] = lambda: None) -> tuple[float, float, float]:
    """Measures how fast captions with their features are read.

    Args:
      store_dir: an empty directory, for the feature store.
      forget: empties the caches; called before each reading of the first kind.

    Returns:
      captions/s read after `forget`, captions/s read once more, and captions/s that training steps need.
    """
    data, _ = _corpus(store_dir)
    _, our_steps = _ours(data)

    def read() -> int:
        return sum(1 for _ in data.shuffled(0))

    def read_anew() -> None:
        forget()
        read()

    first, trained = in_turns(read_anew, our_steps, rounds=3)
    again, _ = in_turns(read, lambda: None, rounds=3)
    num_captions = NUM_IMAGES * CAPTIONS_PER_IMAGE
    return num_captions / first, num_captions / again, STEPS * SETTINGS.batch_size / trained


def _corpus(store_dir: str) -> tuple[CaptionedFeatures, tuple[np.ndarray, np.ndarray]]:
    """Returns random features with captions that can be learned in part: each word limits the next one."""
    rng = np.random.default_rng(0)
    store, names = FeatureStore(store_dir), [f"{number:06}" for number in range(NUM_IMAGES)]
    features = rng.normal(size=(NUM_IMAGES, INPUTS.num_positions, INPUTS.channels)).astype(np.float16)
    store.add(names, features)
    [shard] = set(store.index().values())
    manifest = Manifest("", store_dir, INPUTS.grid, INPUTS.channels, {shard: {name: name for name in names}})
    tokens = np.zeros((NUM_IMAGES, CAPTIONS_PER_IMAGE, INPUTS.max_length), np.int32)
    successors = rng.integers(len(RESERVED_TOKENS), NUM_WORDS, size=(INPUTS.vocabulary_size, 8))
    for caption in tokens.reshape(-1, INPUTS.max_length):
        length = int(np.clip(rng.normal(MEAN_LENGTH, LENGTH_DEVIATION), 4, MAX_LENGTH))
        caption[0] = START_ID
        for position in range(1, length + 1):
            caption[position] = rng.choice(successors[caption[position - 1]])
        caption[length + 1] = END_ID
    ids = dict(zip(names, tokens, strict=True))
    data = CaptionedFeatures(manifest, ids, SETTINGS.batch_size, SETTINGS.loss_weighting)
    features_per_caption = np.repeat(features.astype(np.float32), CAPTIONS_PER_IMAGE, axis=0)
    return data, (features_per_caption, tokens.reshape(-1, INPUTS.max_length))


def _ours(data: CaptionedFeatures) -> tuple[Callable[[], float], Callable[[], object]]:
    """Returns a function that trains for an epoch and returns its loss, and one that takes a few steps."""
    keras.utils.set_random_seed(0)
    model = weights.build(SETTINGS.model, dataclasses.replace(INPUTS, compute_dtype=devices.compute_dtype("auto")))
    optimizer = make_optimizer(SETTINGS.optimizer, SETTINGS.model.d_model, 1)
    optimizer.build(model.trainable_variables)
    train_step = steps.make_train_step(model, optimizer, SETTINGS.label_smoothing)
    step = tf.function(train_step, input_signature=[data.in_order().element_spec])
    seeds = iter(range(1000))

    def epoch() -> float:
        sums = [{name: float(value) for name, value in step(batch).items()} for batch in data.shuffled(next(seeds))]
        return sum(batch["loss"] for batch in sums) / sum(batch["words"] for batch in sums)

    return epoch, lambda: [float(step(batch)["loss"]) for batch in data.in_order().take(STEPS)]


def _theirs(features: np.ndarray, tokens: np.ndarray) -> tuple[Callable[[], float], Callable[[], object]]:
    """Returns the same functions for the tutorial: `fit` on pairs of an image and a caption."""
    keras.utils.set_random_seed(0)
    model: Any = TutorialTransformer(SETTINGS.model, INPUTS)
    optimizer = make_optimizer(SETTINGS.optimizer, SETTINGS.model.d_model, 1)
    model.compile(optimizer, loss=masked_loss, jit_compile=False)
    pairs = tf.data.Dataset.from_tensor_slices(((features, tokens[:, :-1]), tokens[:, 1:]))
    few = without_autotuning(pairs.batch(SETTINGS.batch_size).take(STEPS).cache())
    shuffled = without_autotuning(pairs.shuffle(len(tokens), seed=0).batch(SETTINGS.batch_size))
    return lambda: model.fit(shuffled, verbose=0).history["loss"][0], lambda: model.fit(few, verbose=0)
