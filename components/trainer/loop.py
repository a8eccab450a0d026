"""The training loop: epochs of steps, checkpoints in between, and the best epochs' weights at the end."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import keras
import tensorflow as tf
from absl import logging

from components.shared.progress import LOGGER
from components.trainer import steps
from components.trainer.adam import Adam
from components.trainer.checkpoints import CheckpointManager
from components.trainer.input_pipeline import CaptionedFeatures
from components.trainer.monitoring import VAL_PREFIX
from components.trainer.settings import TrainerSettings

LOSS, BLEU_4 = "loss", "bleu_4"  # of `checkpoint_metric`
EpochMetrics = dict[str, float]  # metric -> value
Step = Callable[[Any], Mapping[str, tf.Tensor]]  # a batch -> `steps.Sums`
MIN_TIMED_STEPS = 10  # before which the remaining time is not known: the first steps are the slowest


@dataclasses.dataclass
class TrainState:
    """The progress of a training: all that a checkpoint holds beside the variables."""

    epoch: int = 0  # number of completed epochs
    step: int = 0  # number of completed steps in the current epoch
    sums: dict[str, float] = dataclasses.field(default_factory=dict)  # over the current epoch's steps, `steps.Sums`
    # of the current epoch's steps but for the first one of a process, which traces the graph:
    seconds: float = 0.0  # their duration, waiting for their batches included
    timed_captions: float = 0.0  # the captions that they trained on
    history: list[EpochMetrics] = dataclasses.field(default_factory=list)  # one entry per completed epoch
    # counted from 1, the best first; 0 stands for the weights before the first epoch, where these are measured
    best_epochs: list[int] = dataclasses.field(default_factory=list)
    initial: EpochMetrics = dataclasses.field(default_factory=dict)  # of these weights


class Batches(Protocol):
    """The train data of a phase: see `CaptionedFeatures.shuffled`."""

    @property
    def num_batches(self) -> int:
        """Number of batches per epoch."""

    def shuffled(self, seed: int, skip: int = 0) -> tf.data.Dataset:
        """Returns all batches of an epoch but the first ones."""


class TrainingLoop:
    """Trains a model to predict the next word of captions, and leaves it with its best weights.

    Another phase of the training is a subclass, which says what a step does, and how an epoch is measured.
    """

    PHASE = ""  # before "epoch" in progress lines
    SCORE = BLEU_4  # what `score` computes
    ADVICE = (  # not to clip gradients: the steps of Adam do not depend on their scale
        "raise trainer.optimizer.warmup_steps, or lower trainer.optimizer.peak_learning_rate"
    )

    def __init__(
        self,
        model: keras.Model,
        optimizer: Adam,
        train_data: Batches,
        eval_data: CaptionedFeatures,
        settings: TrainerSettings,
        checkpoints: CheckpointManager,
        score: Callable[[], float] | None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Initializes the loop, which must be created and run in the scope of the model's strategy.

        Args:
          model: the captioning model, built.
          optimizer: a new optimizer.
          train_data: the images to train on: `num_batches` and `shuffled` are used.
          eval_data: the images to choose the best epoch on.
          settings: the Trainer's settings.
          checkpoints: the checkpoints of this training; an existing one is resumed.
          score: a function that returns the model's current `SCORE` on eval, which becomes one of the metrics; required
            if it is the monitored one.
          clock: a function that returns the time in seconds.
        """
        self.model, self.optimizer, self.train_data = model, optimizer, train_data
        self.settings, self.checkpoints = settings, checkpoints
        self.num_epochs, self.monitored = settings.epochs, str(settings.checkpoint_metric)
        self.is_last_phase = not settings.self_critical.epochs
        self.state = TrainState()
        self._score, self._clock = score, clock
        self.strategy = tf.distribute.get_strategy()
        optimizer.build(model.trainable_variables)
        self._variables = [*model.variables, *optimizer.variables]
        self._eval_batches = self.strategy.experimental_distribute_dataset(eval_data.in_order())
        self.eval_step = self.distributed(steps.make_eval_step(model), self._eval_batches.element_spec)
        self.train_step = self._make_train_step()
        self._saved_at, self._logged_at = clock(), -math.inf
        # when this process completed its first step, and its number; after the first epoch, those of its end
        self._first_step: tuple[float, int] | None = None

    def _make_train_step(self) -> Step:
        step = steps.make_train_step(self.model, self.optimizer, self.settings.label_smoothing)
        return self.distributed(step, self._eval_batches.element_spec)

    def run(self) -> Iterator[EpochMetrics]:
        """Trains until the last epoch or until early stopping.

        Yields:
          the metrics of each epoch, those before a resumption included: {"epoch", "loss", "accuracy", "val_loss",
          "val_accuracy", "learning_rate", "captions_per_second"}, and "val_bleu_4" with a `score`; losses in nats per
          word.

        Raises:
          FloatingPointError: the loss on train or eval is not finite.
        """
        if (state := self.checkpoints.restore(self._variables)) is not None:
            self.state = TrainState(**state)
            LOGGER.info("Resuming %sepoch %d after step %d", self.PHASE, self.state.epoch + 1, self.state.step)
        else:
            self._begin()
        yield from self.state.history
        while self.state.epoch < self.num_epochs and not self._should_stop_early():
            is_first = self._first_step is None
            self._run_epoch()
            yield self.state.history[-1]
            if is_first:  # evaluating and decoding trace their graphs, too
                self._first_step = self._clock(), self.state.epoch * self.train_data.num_batches
        if self._first_step is not None and not self.is_last_phase:
            self.save()  # an interruption from now on costs nothing of this phase
        self._restore_best()

    def evaluate(self) -> EpochMetrics:
        """Returns the metrics of the model's current weights on eval."""
        sums: dict[str, float] = {}
        for batch in self._eval_batches:
            for name, value in self.eval_step(batch).items():
                sums[name] = sums.get(name, 0.0) + float(value)
        self._check_finite("eval loss", sums["loss"])  # before the score: weights of NaN caption nothing
        metrics = {"loss": sums["loss"] / sums["words"], "accuracy": sums["correct"] / sums["words"]}
        if self._score is not None:
            metrics[self.SCORE] = self._score()
        return {VAL_PREFIX + name: value for name, value in metrics.items()}

    def save(self) -> None:
        """Writes a checkpoint, from which the next process resumes this phase."""
        best = [str(epoch) for epoch in self.state.best_epochs]
        self.checkpoints.save(self._variables, dataclasses.asdict(self.state), best)
        self._saved_at = self._clock()

    def _begin(self) -> None:
        """Prepares the first epoch of a training that does not resume another."""

    def _run_epoch(self) -> None:
        state = self.state
        seed = self.settings.seed + 1_000_003 * state.epoch
        data = self.train_data.shuffled(seed, skip=state.step)
        start = self._clock()
        for batch in self.strategy.experimental_distribute_dataset(data):
            sums = {name: float(value) for name, value in self.train_step(batch).items()}
            if self._first_step is not None:
                state.seconds += self._clock() - start
                state.timed_captions += sums["captions"]
            state.step += 1
            state.sums = {name: state.sums.get(name, 0.0) + value for name, value in sums.items()}
            self._check_finite("loss", sums["loss"])
            self._log_progress()
            self._save_if_due()
            start = self._clock()
        state.history.append(self._epoch_metrics())
        self._update_best()
        self.state = TrainState(
            state.epoch + 1, history=state.history, best_epochs=state.best_epochs, initial=state.initial
        )
        self._save_if_due()

    def _epoch_metrics(self) -> EpochMetrics:
        """Returns the metrics of the epoch that has just ended."""
        return {
            "epoch": self.state.epoch + 1,
            **self._train_metrics(),
            **self.evaluate(),
            "learning_rate": float(self.optimizer.last_learning_rate),
            "captions_per_second": self._throughput(),
        }

    def _train_metrics(self) -> EpochMetrics:
        """Returns the metrics of the current epoch's steps until now."""
        sums = self.state.sums
        return {"loss": sums["loss"] / sums["words"], "accuracy": sums["correct"] / sums["words"]}

    def _update_best(self) -> None:
        """Saves the current weights if the epoch that has just ended is one of the best."""
        epoch = self.state.epoch + 1
        ranked = sorted(
            [*self.state.best_epochs, epoch], key=lambda number: self._monitored_value(self._metrics(number))
        )
        self.state.best_epochs = ranked[: self.settings.num_averaged_checkpoints]
        if epoch in self.state.best_epochs:
            self.checkpoints.save_weights(str(epoch), self.model.weights)

    def _metrics(self, epoch: int) -> EpochMetrics:
        """Returns the metrics of a completed epoch, counted from 1; 0 is what the training began with."""
        return self.state.history[epoch - 1] if epoch else self.state.initial

    def _monitored_value(self, metrics: EpochMetrics) -> float:
        """Returns the value that the best epoch minimizes."""
        value = metrics[VAL_PREFIX + self.monitored]
        return value if self.monitored == LOSS else -value

    def _should_stop_early(self) -> bool:
        num_epochs = self.state.epoch - self.state.best_epochs[0] if self.state.best_epochs else 0
        stop = 0 < self.settings.early_stopping_patience <= num_epochs
        if stop:
            logging.info("Early stopping: no improvement for %d %sepochs", num_epochs, self.PHASE)
        return stop

    def _restore_best(self) -> None:
        """Sets the weights to the best epoch's, or to the average of the best epochs' if that is better on eval."""
        best, variables = self.state.best_epochs, self.model.weights
        if len(best) > 1:
            self.checkpoints.load_weights([str(epoch) for epoch in best], variables)
            average = self.evaluate()
            if self._monitored_value(average) <= self._monitored_value(self._metrics(best[0])):
                logging.info("Using the checkpoint average of %sepochs %s: %s", self.PHASE, best, average)
                return
            logging.info(
                "The checkpoint average of %sepochs %s (%s) is no better than the best epoch", self.PHASE, best, average
            )
        self.checkpoints.load_weights([str(best[0])], variables)
        logging.info("Best %sepoch: %s", self.PHASE, best[0] or "none; the weights stay as they were before")

    def _save_if_due(self) -> None:
        every_steps, every_seconds = self.settings.checkpoint_every_steps, 60 * self.settings.checkpoint_every_minutes
        due_by_steps = every_steps and int(self.optimizer.iterations) % every_steps == 0
        due_by_time = every_seconds and self._clock() - self._saved_at >= every_seconds
        if due_by_steps or due_by_time:
            self.save()

    def _log_progress(self) -> None:
        """Logs progress and the remaining time, at most once per second."""
        now, num_steps = self._clock(), self.state.epoch * self.train_data.num_batches + self.state.step
        if self._first_step is None:
            self._first_step = now, num_steps  # it traces the graph, so its duration predicts nothing
            self._logged_at = now  # the first line comes when there is a rate
        if now - self._logged_at < 1.0 or num_steps == self._first_step[1]:
            return
        self._logged_at = now
        num_timed = num_steps - self._first_step[1]
        seconds_per_step = (now - self._first_step[0]) / num_timed
        remaining = self.num_epochs * self.train_data.num_batches - num_steps
        is_predictable = num_timed >= min(MIN_TIMED_STEPS, self.train_data.num_batches)
        LOGGER.info(
            "%sepoch %d of %d, %s, %.0f captions/s, ETA %s",
            self.PHASE, self.state.epoch + 1, self.num_epochs,
            ", ".join(f"{name} {value:.3f}" for name, value in self._train_metrics().items()),
            self._throughput(), f"{seconds_per_step * remaining:.0f} s" if is_predictable else "unknown",
        )  # fmt: skip

    def _throughput(self) -> float:
        """Returns the captions per second in the current epoch; 0 if no step of it was timed."""
        return self.state.timed_captions / max(self.state.seconds, 1e-9)

    def _check_finite(self, name: str, loss: float) -> None:
        """Stops the training if a loss is not finite."""
        if not math.isfinite(loss):
            place = f"step {int(self.optimizer.iterations)} ({self.PHASE}epoch {self.state.epoch + 1})"
            rate = float(self.optimizer.last_learning_rate)
            raise FloatingPointError(f"Non-finite {name} at {place}: {loss}, learning rate {rate:.3g}; {self.ADVICE}")

    def distributed(self, step: Callable, spec: Any) -> Step:
        """Compiles a step into one graph for all batches of a spec; each replica runs it on its part of a batch."""

        @tf.function(input_signature=[spec])
        def run(batch):
            sums = self.strategy.run(step, args=(batch,))
            return {name: self.strategy.experimental_local_results(value)[0] for name, value in sums.items()}

        return run
