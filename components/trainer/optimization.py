"""What is minimized, how fast, and what is watched."""

import keras
import tensorflow as tf

from components.records import PAD_ID


@keras.saving.register_keras_serializable("captions")
class WarmUpSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """rsqrt(d_model) · min(rsqrt(step), step · warmup^-1.5), steps from 1: Vaswani et al. 2017, formula 3."""

    def __init__(self, d_model: int, warmup: int):
        """See the formula.

        Args:
          d_model: the model's width.
          warmup: steps until the rate is highest.
        """
        self.d_model, self.warmup = d_model, warmup

    def __call__(self, step):
        step = tf.cast(step, tf.float32) + 1.0  # Keras counts from 0
        return self.d_model**-0.5 * tf.minimum(tf.math.rsqrt(step), step * self.warmup**-1.5)

    def get_config(self):
        return {"d_model": self.d_model, "warmup": self.warmup}


def adam(d_model: int, warmup: int) -> keras.optimizers.Optimizer:
    """Adam as in Vaswani et al. 2017, section 5.3."""
    return keras.optimizers.Adam(WarmUpSchedule(d_model, warmup), beta_1=0.9, beta_2=0.98, epsilon=1e-9)


def masked_loss(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy (nats) of the words that are there.

    Args:
      targets: int [..., T]; padding does not count.
      logits: float32 [..., T, V].

    Returns:
      float32 [].
    """
    targets = tf.cast(targets, tf.int32)  # Keras hands them on as floats
    mask = tf.cast(targets != PAD_ID, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * mask), tf.reduce_sum(mask))


def masked_accuracy(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Share of the words that are predicted right, given those before them; see `masked_loss`."""
    targets = tf.cast(targets, tf.int32)
    mask = tf.cast(targets != PAD_ID, tf.float32)
    right = tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == targets, tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(right * mask), tf.reduce_sum(mask))
