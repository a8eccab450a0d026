"""What is minimized, how fast, and what is watched."""

import dataclasses
import math
from typing import Any

import keras
import tensorflow as tf


class WarmUpSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """rsqrt(d_model) · min(rsqrt(step), step · warmup^-1.5), steps from 1: Vaswani et al. 2017, formula 3."""

    def __init__(self, d_model: int, warmup: int, peak: float | None = None):
        """See the formula.

        Args:
          d_model: the model's width.
          warmup: steps until the rate is highest.
          peak: the highest rate, to which all are scaled; None: the formula's, rsqrt(d_model · warmup).
        """
        self.d_model, self.warmup = d_model, warmup
        self.peak = peak or (d_model * warmup) ** -0.5

    def __call__(self, step):
        step = tf.cast(step, tf.float32) + 1.0  # Keras counts from 0
        return self.peak * tf.minimum(tf.sqrt(self.warmup / step), step / self.warmup)

    def get_config(self):
        return {"d_model": self.d_model, "warmup": self.warmup, "peak": self.peak}


class CosineSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise to the peak, then half a cosine to 0: Loshchilov and Hutter 2017, formula 5, arXiv 1608.03983."""

    def __init__(self, peak: float, warmup: int, steps: int):
        """See the formula; T_cur / T_i is the share of the steps after the warm-up.

        Args:
          peak: the highest rate.
          warmup: steps until it is reached.
          steps: of the whole training.
        """
        self.peak, self.warmup, self.steps = peak, min(warmup, steps), steps

    def __call__(self, step):
        step = tf.cast(step, tf.float32) + 1.0  # Keras counts from 0
        share = tf.clip_by_value((step - self.warmup) / max(self.steps - self.warmup, 1), 0.0, 1.0)
        return self.peak * tf.minimum(step / self.warmup, 0.5 * (1.0 + tf.cos(math.pi * share)))

    def get_config(self):
        return {"peak": self.peak, "warmup": self.warmup, "steps": self.steps}


class Adam(keras.optimizers.Adam):
    """Keras's Adam, but updated by TensorFlow's own kernel, and clipped alike on one device and on many.

    Keras makes a dozen passes over the weights, the kernel one: at 45 million weights 50 ms a step instead of 150.
    """

    @property
    def last_rate(self) -> tf.Tensor:
        """The learning rate of the step that was taken last; `learning_rate` is the next one's."""
        return self._learning_rate(self.iterations - 1)

    def _clip_gradients(self, grads):
        # Keras would clip the part of each replica, and then sum them. Slices may hold a row in several parts, whose
        # lengths are not that of the row.
        dense = [tf.convert_to_tensor(gradient) for gradient in grads]
        context: Any = tf.distribute.get_replica_context()
        return super()._clip_gradients(context.all_reduce(tf.distribute.ReduceOp.SUM, dense))

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars  # which are sums already

    def update_step(self, gradient, variable, learning_rate):
        slot = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[slot].value.handle,
            v=self._velocities[slot].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """How the weights are changed; the defaults are those of Vaswani et al. 2017.

    Attributes:
      schedule: "rsqrt", see `WarmUpSchedule`, or "cosine", see `CosineSchedule`.
      warmup: steps until the learning rate is highest.
      learning_rate: the highest one; None: 0.001 with "cosine", that of the formula with "rsqrt".
      weight_decay: of matrices, a step, times the rate (Loshchilov and Hutter 2019, arXiv 1711.05101).
      clip_norm: most length of the whole gradient; 0: any.
    """

    schedule: str = "rsqrt"
    warmup: int = 4000
    learning_rate: float | None = None
    weight_decay: float = 0.0
    clip_norm: float = 0.0


def make_optimizer(settings: OptimizerSettings, d_model: int, steps: int) -> Adam:
    """Adam with the values of Vaswani et al. 2017, section 5.3; with a weight decay it is AdamW.

    Args:
      settings: how.
      d_model: width of the model.
      steps: of the whole training.
    """
    if settings.schedule == "cosine":
        rate = CosineSchedule(settings.learning_rate or 1e-3, settings.warmup, steps)
    else:
        rate = WarmUpSchedule(d_model, settings.warmup, settings.learning_rate)
    optimizer = Adam(
        rate,
        weight_decay=settings.weight_decay or None,
        beta_1=0.9,
        beta_2=0.98,
        epsilon=1e-9,
        global_clipnorm=settings.clip_norm or None,
    )
    if settings.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def cross_entropy(targets: tf.Tensor, logits: tf.Tensor, smoothing: float = 0.0) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross-entropy (nats) of words.

    Args:
      targets: int [R].
      logits: float32 [R, V].
      smoothing: share that goes to all words alike (Szegedy et al. 2016, section 7, arXiv 1512.00567).

    Returns:
      (what is to be minimized, the cross-entropy without smoothing): float32 [R] each.
    """
    whole = tf.reduce_logsumexp(logits, axis=1)  # (R,)
    plain = whole - tf.gather(logits, targets, batch_dims=1)
    if not smoothing:
        return plain, plain
    return (1 - smoothing) * plain + smoothing * (whole - tf.reduce_mean(logits, axis=1)), plain
