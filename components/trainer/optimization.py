"""The loss, the learning rate schedules and the optimizer."""

import keras
import tensorflow as tf

from components.trainer.adam import Adam
from components.trainer.settings import OptimizerSettings

COSINE_PEAK = 1e-3  # where `peak_learning_rate` is null


class InverseSqrtSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then decay with the inverse square root of the step: Vaswani et al. 2017, formula 3.

    peak · min(step / warmup_steps, sqrt(warmup_steps / step)), with steps counted from 1. Keras has no such schedule.
    """

    def __init__(self, peak: float, warmup_steps: int):
        """Initializes the schedule.

        Args:
          peak: the learning rate at the end of the warm-up.
          warmup_steps: the number of warm-up steps.
        """
        self.peak, self.warmup_steps = peak, warmup_steps

    def __call__(self, step):
        step = tf.cast(step, tf.float32) + 1.0  # Keras counts from 0
        return self.peak * tf.minimum(tf.sqrt(self.warmup_steps / step), step / self.warmup_steps)

    def get_config(self):
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}


def cosine_schedule(peak: float, warmup_steps: int, num_steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns a linear warm-up followed by cosine decay to 0: Loshchilov and Hutter 2017, formula 5, arXiv 1608.03983.

    Args:
      peak: the learning rate at the end of the warm-up.
      warmup_steps: the number of warm-up steps.
      num_steps: the number of steps of the whole training; the last one has the rate 0.

    Raises:
      ValueError: the warm-up is as long as the training, so that the rate would never decay.
    """
    if warmup_steps >= num_steps:
        raise ValueError(
            f"trainer.optimizer.warmup_steps: {warmup_steps}, but the whole training has {num_steps} steps: with "
            "lr_schedule=cosine the learning rate would never decay; set fewer warm-up steps, or raise trainer.epochs"
        )
    # Keras counts from 0: its first step has the rate of ours, peak / warmup_steps, its step warmup_steps - 1 the peak
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / warmup_steps,
        decay_steps=num_steps - warmup_steps,
        warmup_target=peak,
        warmup_steps=warmup_steps - 1,
    )


def make_optimizer(settings: OptimizerSettings, d_model: int | None, num_steps: int) -> Adam:
    """Builds Adam with the constants of Vaswani et al. 2017, section 5.3; with a weight decay it is AdamW.

    Args:
      settings: the optimizer's settings.
      d_model: the width of the model, which sets the default peak of `inverse_sqrt`; None with a peak of its own.
      num_steps: the number of steps of the whole training.
    """
    if settings.lr_schedule == "cosine":
        schedule = cosine_schedule(settings.peak_learning_rate or COSINE_PEAK, settings.warmup_steps, num_steps)
    else:
        peak = settings.peak_learning_rate or ((d_model or 0) * settings.warmup_steps) ** -0.5
        schedule = InverseSqrtSchedule(peak, settings.warmup_steps)
    return _adam(schedule, settings)


def make_self_critical_optimizer(settings: OptimizerSettings, learning_rate: float, num_steps: int) -> Adam:
    """Builds the optimizer of self-critical training: that of `make_optimizer`, but its learning rate falls to 0.

    Args:
      settings: the optimizer's settings, without those of the learning rate.
      learning_rate: the learning rate of the first step.
      num_steps: the number of steps of this phase.
    """
    schedule = keras.optimizers.schedules.PolynomialDecay(learning_rate, num_steps, end_learning_rate=0.0)
    return _adam(schedule, settings)


def _adam(schedule: keras.optimizers.schedules.LearningRateSchedule, settings: OptimizerSettings) -> Adam:
    return Adam(
        schedule,
        weight_decay=settings.weight_decay or None,
        beta_1=0.9,
        beta_2=0.98,
        epsilon=1e-9,
        global_clipnorm=settings.grad_clip_norm or None,
    )


def cross_entropy(targets: tf.Tensor, logits: tf.Tensor, label_smoothing: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes the cross-entropy of words in nats.

    Args:
      targets: int [R].
      logits: float32 [R, V].
      label_smoothing: the probability mass spread uniformly over the vocabulary (Szegedy et al. 2016, section 7,
        arXiv 1512.00567).

    Returns:
      (the objective to minimize, the cross-entropy without smoothing): float32 [R] each.
    """
    log_normalizer = tf.reduce_logsumexp(logits, axis=1)  # (R,)
    nll = log_normalizer - tf.gather(logits, targets, batch_dims=1)
    if not label_smoothing:
        return nll, nll
    uniform = log_normalizer - tf.reduce_mean(logits, axis=1)
    return (1 - label_smoothing) * nll + label_smoothing * uniform, nll
