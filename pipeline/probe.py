"""Measures how fast this machine extracts features and trains, in seconds: the basis of an estimate for a first run."""

import dataclasses
import tempfile
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from components.feature_extractor.settings import FeatureExtractorSettings
from components.feature_extractor.store import FeatureStore
from components.shared.features import Backbone
from components.shared.images import reading
from components.shared.images.inspection import to_tf_decodable
from components.shared.models import weights
from components.shared.models.protocol import ModelInputs
from components.shared.records import END_ID, RESERVED_TOKENS
from components.trainer import devices, optimization, steps
from components.trainer.settings import TrainerSettings

NUM_STEPS = 3  # that are timed, after one that traces the graph


@dataclasses.dataclass(frozen=True)
class Captions:
    """What the size of a training step depends on, beside the settings.

    Attributes:
      per_image: captions per image.
      num_words: words per caption.
      vocabulary_size: number of words in the vocabulary.
    """

    per_image: int
    num_words: int
    vocabulary_size: int


@dataclasses.dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
      seconds_per_image: of the extraction.
      seconds_per_step: of the training.
      images_per_step: number of images per training step.
    """

    seconds_per_image: float
    seconds_per_step: float
    images_per_step: int

    def seconds(self, num_images: int, num_train_images: int, epochs: int) -> tuple[float, float]:
        """Extrapolates, as if each image and step took as long as those that were measured.

        Args:
          num_images: number of images of all splits.
          num_train_images: number of images of train.
          epochs: number of passes over them.

        Returns:
          the seconds of the extraction and of the training.
        """
        num_steps = epochs * -(-num_train_images // self.images_per_step)
        return num_images * self.seconds_per_image, num_steps * self.seconds_per_step


def measure(
    extractor: FeatureExtractorSettings, trainer: TrainerSettings, files: Sequence[str], captions: Captions
) -> Speed:
    """Extracts the features of one batch, and trains a few steps on random data of their shape.

    Args:
      extractor: which backbone; its weights are random here, which takes as long as any others.
      trainer: the model and the batch size.
      files: paths of images, at least one; of fewer than a batch some count several times.
      captions: the size of the captions.
    """
    images = [to_tf_decodable(reading.read_bytes(files[row % len(files)])) for row in range(extractor.batch_size)]
    with tempfile.TemporaryDirectory() as directory:
        grid, channels = FeatureStore(directory).prepare_backbone(dataclasses.replace(extractor, weights="random"))
        backbone, batch = Backbone(directory), tf.constant(images)
        backbone(batch)  # the first call prepares the graph
        start = time.perf_counter()
        backbone(batch).numpy()
        seconds_per_image = (time.perf_counter() - start) / len(images)
    images_per_step = max(1, trainer.batch_size // captions.per_image)
    inputs = ModelInputs(
        vocabulary_size=captions.vocabulary_size + len(RESERVED_TOKENS),
        grid=grid,
        channels=channels,
        max_length=captions.num_words + 2,
        compute_dtype=devices.compute_dtype(trainer.compute_dtype),
    )
    return Speed(
        seconds_per_image, _seconds_per_step(trainer, inputs, images_per_step, captions.per_image), images_per_step
    )


def _seconds_per_step(trainer: TrainerSettings, inputs: ModelInputs, num_images: int, captions_per_image: int) -> float:
    rng = np.random.default_rng(0)
    shape = (num_images, captions_per_image)
    batch = {
        "features": tf.constant(rng.random((num_images, inputs.num_positions, inputs.channels)), tf.float16),
        "tokens": tf.constant(rng.integers(END_ID + 1, inputs.vocabulary_size, (*shape, inputs.max_length)), tf.int32),
        "weights": tf.ones(shape),
    }
    strategy = devices.strategy(trainer.max_gpus)
    with strategy.scope():
        model = weights.build(trainer.model, inputs)
        d_model, warmup = getattr(trainer.model, "d_model", None), trainer.optimizer.warmup_steps
        optimizer = optimization.make_optimizer(trainer.optimizer, d_model, num_steps=2 * warmup)
        optimizer.build(model.trainable_variables)
        train_step = steps.make_train_step(model, optimizer, trainer.label_smoothing)

    @tf.function
    def run() -> tf.Tensor:
        sums = strategy.run(train_step, args=(batch,))
        return strategy.experimental_local_results(sums["loss"])[0]

    float(run())  # traces the graph
    start = time.perf_counter()
    for _ in range(NUM_STEPS):
        float(run())
    return (time.perf_counter() - start) / NUM_STEPS
