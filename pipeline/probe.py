"""Measures how fast this machine extracts features and trains, in seconds: the basis of an estimate for a first run."""

import dataclasses
import tempfile
import time
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from components.feature_extractor.settings import FeatureExtractorSettings
from components.feature_extractor.store import FeatureStore
from components.shared.features import Backbone
from components.shared.images import reading
from components.shared.images.inspection import to_tf_decodable
from components.shared.models import weights
from components.shared.models.protocol import ModelInputs
from components.shared.records import END_ID, EVAL, RESERVED_TOKENS, TRAIN
from components.trainer import devices, optimization, steps
from components.trainer.settings import TrainerSettings

NUM_STEPS = 3  # that are timed, after one that traces the graph
EPOCH_SECONDS = 1.0  # of an epoch beside its steps: shuffling, the checkpoint, BLEU of eval


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
      extraction_start: seconds until the first images are extracted: the backbone is built, and its graph traced.
      training_start: seconds until the first step is done: the model is built, and its graph traced.
    """

    seconds_per_image: float
    seconds_per_step: float
    images_per_step: int
    extraction_start: float
    training_start: float

    def seconds(self, num_images: Mapping[str, int], epochs: int) -> tuple[float, float]:
        """Extrapolates, as if each image and step took as long as those that were measured.

        Args:
          num_images: number of images per split.
          epochs: number of passes over those of train.

        Returns:
          the seconds of the extraction and of the training.
        """
        train_steps, eval_steps = (-(-num_images[split] // self.images_per_step) for split in (TRAIN, EVAL))
        # after each epoch, the eval images have their loss computed and are captioned, by graphs of their own
        seconds_per_epoch = (train_steps + 2 * eval_steps) * self.seconds_per_step + EPOCH_SECONDS
        extraction = self.extraction_start + sum(num_images.values()) * self.seconds_per_image
        return extraction, 3 * self.training_start + epochs * seconds_per_epoch


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
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        grid, channels = FeatureStore(directory).prepare_backbone(dataclasses.replace(extractor, weights="random"))
        backbone, batch = Backbone(directory), tf.constant(images)
        backbone(batch)  # the first call prepares the graph
        start = time.perf_counter()
        extraction_start = start - begin
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
    training_start, seconds_per_step = _measure_training(trainer, inputs, images_per_step, captions.per_image)
    return Speed(seconds_per_image, seconds_per_step, images_per_step, extraction_start, training_start)


def _measure_training(
    trainer: TrainerSettings, inputs: ModelInputs, num_images: int, captions_per_image: int
) -> tuple[float, float]:
    """The seconds until the first step is done, and those of a step."""
    begin = time.perf_counter()
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
    return start - begin, (time.perf_counter() - start) / NUM_STEPS
