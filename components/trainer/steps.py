"""One step of training or of measuring: a batch in, sums over its words out, the same on one device or on many."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from components.records import PAD_ID
from components.trainer.optimization import cross_entropy

# a batch is {"features": float16 [P, N, C], "tokens": int32 [P, n, T+1], "weights": float32 [P, n]}
Batch = Mapping[str, tf.Tensor]
Sums = dict[str, tf.Tensor]  # float32 []: "loss" (nats), "right", "words" and "captions", all of them weighted


def split_tokens(tokens: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Captions -> inputs and the words that follow them.

    >>> [[<start>, a, dog, <end>, 0]] -> [[<start>, a, dog, 0]], [[a, dog, <end>, 0]]

    Args:
      tokens: int [P, n, T+1].

    Returns:
      (inputs, targets): int [P, n, T] each; both are padding where no word follows.
    """
    targets = tokens[..., 1:]
    return tf.where(targets != PAD_ID, tokens[..., :-1], PAD_ID), targets


def make_train_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, smoothing: float = 0.0
) -> Callable[[Batch], Sums]:
    """A function that changes the model by one batch; to be called in a replica."""

    def train_step(batch: Batch) -> Sums:
        words = _all_sum(tf.reduce_sum(_weights(batch)))
        with tf.GradientTape() as tape:
            objective, sums = _measure(model, batch, smoothing, training=True)
            objective = tf.math.divide_no_nan(objective, words)
        variables = model.trainable_variables
        gradients = tape.gradient(objective, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)  # which adds up what the replicas have
        return {name: _all_sum(value) for name, value in sums.items()}

    return train_step


def make_eval_step(model: keras.Model) -> Callable[[Batch], Sums]:
    """A function that measures the model on one batch; to be called in a replica."""

    def eval_step(batch: Batch) -> Sums:
        return {name: _all_sum(value) for name, value in _measure(model, batch, 0.0, training=False)[1].items()}

    return eval_step


def _measure(model: keras.Model, batch: Batch, smoothing: float, training: bool) -> tuple[tf.Tensor, Sums]:
    """The objective, summed over words, and the sums that are told."""
    tokens, targets = split_tokens(batch["tokens"])
    logits = model({"features": batch["features"], "tokens": tokens}, training=training)  # (R, V)
    there = tf.where(targets != PAD_ID)  # (R, 3)
    target, weight = tf.gather_nd(targets, there), tf.gather_nd(_weights(batch), there)  # (R,)
    objective, plain = cross_entropy(target, logits, smoothing)
    right = tf.cast(tf.argmax(logits, axis=1, output_type=target.dtype) == target, tf.float32)
    return tf.reduce_sum(objective * weight), {
        "loss": tf.reduce_sum(plain * weight),
        "right": tf.reduce_sum(right * weight),
        "words": tf.reduce_sum(weight),
        "captions": tf.reduce_sum(batch["weights"]),
    }


def _weights(batch: Batch) -> tf.Tensor:
    """How often each word counts, float32 [P, n, T]."""
    return batch["weights"][..., None] * tf.cast(batch["tokens"][..., 1:] != PAD_ID, tf.float32)


def _all_sum(value: tf.Tensor) -> tf.Tensor:
    """The sum over the replicas."""
    context: Any = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value) if context.num_replicas_in_sync > 1 else value
