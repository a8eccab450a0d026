"""The training loop: epochs of steps, checkpoints between them, and the best epochs' weights at the end."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from components.progress import LOGGER
from components.trainer import steps
from components.trainer.checkpoints import Checkpoints
from components.trainer.input_pipeline import CaptionedFeatures
from components.trainer.optimization import Adam

LOSS, BLEU = "loss", "bleu_4"  # what the best epoch is chosen by, on eval
Outcome = dict[str, float]  # figure -> its value


@dataclasses.dataclass(frozen=True)
class LoopSettings:
    """How long, and what is kept.

    Attributes:
      epochs: passes over the train pictures.
      seed: of the order, and of the captions that are drawn.
      captions_a_picture: drawn anew each epoch; 0: all of them.
      label_smoothing: see `optimization.cross_entropy`.
      select_by: LOSS or BLEU.
      patience: epochs without a better one after which the training ends; 0: never.
      average: the weights that are kept are the mean of so many best epochs, where it is better than the best alone.
      checkpoint_steps: steps between two checkpoints; 0: not counted.
      checkpoint_minutes: minutes between two checkpoints; 0: not looked at.
    """

    epochs: int
    seed: int = 0
    captions_a_picture: int = 0
    label_smoothing: float = 0.0
    select_by: str = LOSS
    patience: int = 0
    average: int = 1
    checkpoint_steps: int = 0
    checkpoint_minutes: float = 5.0


@dataclasses.dataclass
class Position:
    """Where the training stands; with the variables it is all that a checkpoint holds."""

    epoch: int = 0  # epochs that are over
    step: int = 0  # steps of this epoch that are done
    sums: dict[str, float] = dataclasses.field(default_factory=dict)  # of this epoch's steps, see `steps.Sums`
    seconds: float = 0.0  # that this epoch's steps took, and the waiting for their batches
    history: list[Outcome] = dataclasses.field(default_factory=list)  # an entry an epoch
    best: list[int] = dataclasses.field(default_factory=list)  # the best epochs from 1, the best first


class Loop:
    """Trains a model, and leaves it with its best weights."""

    def __init__(
        self,
        model: keras.Model,
        optimizer: Adam,
        train: CaptionedFeatures,
        held_out: CaptionedFeatures,
        settings: LoopSettings,
        checkpoints: Checkpoints,
        score: Callable[[], float] | None = None,
    ):
        """Puts the parts together. It is to be made, and run, in the scope of the strategy that the model was made in.

        Args:
          model: built.
          optimizer: for it; new.
          train: to learn from.
          held_out: to choose the best epoch on.
          settings: how long, and what is kept.
          checkpoints: where an earlier run of the same training may have left off.
          score: corpus BLEU-4 of the model as it is, on eval; needed where that chooses.
        """
        self.model, self.optimizer, self.train = model, optimizer, train
        self.settings, self.checkpoints, self.score = settings, checkpoints, score
        self.strategy = tf.distribute.get_strategy()
        optimizer.build(model.trainable_variables)
        self._state = [*model.variables, *optimizer.variables]
        self._held_out = self.strategy.experimental_distribute_dataset(held_out.in_order())
        spec = self._held_out.element_spec
        self._train_step = self._distributed(steps.make_train_step(model, optimizer, settings.label_smoothing), spec)
        self._eval_step = self._distributed(steps.make_eval_step(model), spec)
        self._saved_at, self._told_at = time.monotonic(), 0.0
        self._pace: tuple[float, int] | None = None  # when this process had made its first step, and its number
        self.at = Position()

    def run(self) -> Iterator[Mapping[str, float]]:
        """Trains to the end.

        Yields:
          what each epoch came to, those of an earlier run included: {"epoch", "loss", "accuracy", "val_loss",
          "val_accuracy", "learning_rate", "captions_per_second"}, and "val_bleu_4" where it chooses; losses in nats a
          word.

        Raises:
          FloatingPointError: the loss is no number any more, on train or on eval.
        """
        if (state := self.checkpoints.restore(self._state)) is not None:
            self.at = Position(**state)
            LOGGER.info("goes on in epoch %d after %d steps", self.at.epoch + 1, self.at.step)
            logging.info("goes on in epoch %d after %d steps", self.at.epoch + 1, self.at.step)
        yield from self.at.history
        while self.at.epoch < self.settings.epochs and not self._is_enough():
            self._one_epoch()
            yield self.at.history[-1]
        self._keep_the_best()

    def _one_epoch(self) -> None:
        seed = self.settings.seed + 1_000_003 * self.at.epoch
        data = self.train.shuffled(seed, self.settings.captions_a_picture, skip=self.at.step)
        batches = self.strategy.experimental_distribute_dataset(data)
        start = time.monotonic()
        for batch in batches:
            sums = {name: float(value) for name, value in self._train_step(batch).items()}
            self.at.seconds += time.monotonic() - start
            self.at.step += 1
            self.at.sums = {name: self.at.sums.get(name, 0.0) + value for name, value in sums.items()}
            self._check("the loss", sums["loss"])
            self._tell()
            self._save_if_due()
            start = time.monotonic()
        self.at.history.append(self._outcome())
        self._rank()
        self.at.epoch, self.at.step, self.at.sums, self.at.seconds = self.at.epoch + 1, 0, {}, 0.0
        self._save_if_due()

    def _outcome(self) -> Outcome:
        """What the epoch that is over came to."""
        sums = self.at.sums
        return {
            "epoch": self.at.epoch + 1,
            "loss": sums["loss"] / sums["words"],
            "accuracy": sums["right"] / sums["words"],
            **self._measured(),
            "learning_rate": float(self.optimizer.last_rate),
            "captions_per_second": sums["captions"] / max(self.at.seconds, 1e-9),
        }

    def _measured(self) -> Outcome:
        """How good the model is on eval, as it is now."""
        sums: dict[str, float] = {}
        for batch in self._held_out:
            for name, value in self._eval_step(batch).items():
                sums[name] = sums.get(name, 0.0) + float(value)
        self._check("the loss on eval", sums["loss"])  # before the score: weights that are no numbers say no words
        measured = {"val_loss": sums["loss"] / sums["words"], "val_accuracy": sums["right"] / sums["words"]}
        return measured if self.score is None else measured | {"val_bleu_4": self.score()}

    def _rank(self) -> None:
        """Keeps the weights of the epoch that is over, if it is one of the best."""
        epoch = self.at.epoch + 1
        ranked = sorted([*self.at.best, epoch], key=lambda each: self._badness(self.at.history[each - 1]))
        self.at.best = ranked[: self.settings.average]
        if epoch in self.at.best:
            self.checkpoints.save_weights(str(epoch), self.model.trainable_variables)

    def _badness(self, outcome: Outcome) -> float:
        return -outcome["val_bleu_4"] if self.settings.select_by == BLEU else outcome["val_loss"]

    def _is_enough(self) -> bool:
        """Whether the best epoch is too long ago."""
        waited = self.at.epoch - self.at.best[0] if self.at.best else 0
        enough = 0 < self.settings.patience <= waited
        if enough:
            logging.info("no better epoch than %d in %d epochs: that is enough", self.at.best[0], waited)
        return enough

    def _keep_the_best(self) -> None:
        """Sets the weights to the best epoch's, or to the mean of the best ones if that is better."""
        variables, best = self.model.trainable_variables, self.at.best
        if len(best) > 1:
            self.checkpoints.load_weights([str(epoch) for epoch in best], variables)
            mean = self._measured()
            better = self._badness(mean) <= self._badness(self.at.history[best[0] - 1])
            logging.info("mean of epochs %s: %s, %s", best, mean, "kept" if better else "no better than the best alone")
            if better:
                return
        self.checkpoints.load_weights([str(best[0])], variables)
        logging.info("best epoch: %d", best[0])

    def _save_if_due(self) -> None:
        settings, now = self.settings, time.monotonic()
        by_steps = settings.checkpoint_steps and int(self.optimizer.iterations) % settings.checkpoint_steps == 0
        by_time = settings.checkpoint_minutes and now - self._saved_at >= 60 * settings.checkpoint_minutes
        if by_steps or by_time:
            best = [str(epoch) for epoch in self.at.best]
            self.checkpoints.save(self._state, dataclasses.asdict(self.at), best)
            self._saved_at = time.monotonic()

    def _tell(self) -> None:
        """Tells how far it is, at most once a second."""
        now, done = time.monotonic(), self.at.epoch * self.train.steps + self.at.step
        if self._pace is None:
            self._pace = now, done  # the first step traces the graph, and tells nothing of the others
        if now - self._told_at < 1.0 or done == self._pace[1]:
            return
        self._told_at, sums = now, self.at.sums
        left = (now - self._pace[0]) / (done - self._pace[1]) * (self.settings.epochs * self.train.steps - done)
        LOGGER.info(
            "epoch %d of %d, loss %.3f, accuracy %.3f, %.0f captions/s, %.0f s left",
            self.at.epoch + 1, self.settings.epochs, sums["loss"] / sums["words"], sums["right"] / sums["words"],
            sums["captions"] / max(self.at.seconds, 1e-9), left,
        )  # fmt: skip

    def _check(self, which: str, loss: float) -> None:
        """Stops the training if a loss is no number any more."""
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"{which} became {loss} in step {int(self.optimizer.iterations)} (epoch {self.at.epoch + 1}) at the "
                f"learning rate {float(self.optimizer.last_rate):.3g}: raise trainer.warmup, lower "
                "trainer.learning_rate, or set trainer.clip_norm=1"
            )

    def _distributed(self, step: Callable, spec: Any) -> Callable[[Any], Mapping[str, tf.Tensor]]:
        """A step as one graph for all batches of a spec, run by each replica on its share of a batch."""

        @tf.function(input_signature=[spec])
        def run(batch):
            sums = self.strategy.run(step, args=(batch,))
            return {name: self.strategy.experimental_local_results(value)[0] for name, value in sums.items()}

        return run
