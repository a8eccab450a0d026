"""Self-critical training: the second phase, in which captions that the model samples are rewarded."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from components.shared.progress import LOGGER
from components.trainer import optimization, steps
from components.trainer.checkpoints import CheckpointManager
from components.trainer.input_pipeline import CaptionedFeatures
from components.trainer.loop import EpochMetrics, Step, TrainingLoop
from components.trainer.monitoring import ValidationDecoder
from components.trainer.rewards import CiderD, Rewards
from components.trainer.settings import TrainerSettings

REWARD = "reward"  # the name of the metric


@dataclasses.dataclass(frozen=True)
class ImageBatches:
    """The train images in batches, without their captions.

    Attributes:
      data: the images.
      batch_size: images per batch.
    """

    data: CaptionedFeatures
    batch_size: int

    @property
    def num_batches(self) -> int:
        """Number of batches per epoch."""
        return -(-self.data.num_images // self.batch_size)

    def shuffled(self, seed: int, skip: int = 0) -> tf.data.Dataset:
        """Returns all images once, see `CaptionedFeatures.images`."""
        return self.data.images(seed, self.batch_size, skip)


class SelfCriticalLoop(TrainingLoop):
    """Trains a model by REINFORCE, and leaves it with its best weights, or with those that it began with.

    The best epoch has the highest reward of greedy captions on eval.
    """

    PHASE = "self-critical "
    SCORE = REWARD
    ADVICE = "lower trainer.self_critical.learning_rate"

    def __init__(
        self,
        model: keras.Model,
        train_data: CaptionedFeatures,
        eval_data: CaptionedFeatures,
        settings: TrainerSettings,
        checkpoints: CheckpointManager,
        decoder: ValidationDecoder,
        cider_d: CiderD,
    ):
        """Initializes the loop, in the scope of the model's strategy.

        Args:
          model: the captioning model, trained.
          train_data: the images to train on.
          eval_data: the images to choose the best epoch on.
          settings: the Trainer's settings.
          checkpoints: the checkpoints of this phase.
          decoder: a decoder of `eval_data` with this model.
          cider_d: CIDEr-D with the n-grams of `train_data`.
        """
        phase = settings.self_critical
        batches = ImageBatches(train_data, phase.images_per_step)
        optimizer = optimization.make_self_critical_optimizer(
            settings.optimizer, phase.learning_rate, phase.epochs * batches.num_batches
        )
        self._rewards, eval_rewards = (
            Rewards(cider_d, data.captions, phase.bleu_4_weight) for data in (train_data, eval_data)
        )
        score = make_score(decoder, eval_rewards)
        super().__init__(model, optimizer, batches, eval_data, settings, checkpoints, score)
        self.num_epochs, self.monitored, self.is_last_phase = phase.epochs, REWARD, True

    def _make_train_step(self) -> Step:
        settings = self.settings
        step = steps.make_self_critical_step(
            self.model, self.optimizer, self._rewards, settings.self_critical, settings.seed
        )
        batches = self.strategy.experimental_distribute_dataset(self.train_data.shuffled(seed=0))
        return self.distributed(step, batches.element_spec)

    def _begin(self) -> None:
        self.state.initial, self.state.best_epochs = self.evaluate(), [0]
        self.checkpoints.save_weights("0", self.model.weights)
        LOGGER.info("Self-critical training begins with reward %.3f on eval", self.state.initial[f"val_{REWARD}"])

    def _train_metrics(self) -> EpochMetrics:
        return {REWARD: self.state.sums[REWARD] / self.state.sums["captions"]}


def make_score(decoder: ValidationDecoder, rewards: Rewards) -> Callable[[], float]:
    """Returns a function that computes the mean reward of the model's current captions of eval."""

    def score() -> float:
        captions = np.stack(list(decoder.captions()))[:, None]  # (P, 1, L)
        return float(rewards(np.arange(len(captions)), captions).mean())

    return score
