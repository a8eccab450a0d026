"""One training or evaluation step: a batch in, sums over its words out, the same on one device and on several."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.shared.models import decoding
from components.shared.records import PAD_ID, START_ID
from components.trainer.adam import Adam
from components.trainer.optimization import cross_entropy
from components.trainer.settings import SelfCriticalSettings

# a batch is {"features": float16 [I, N, C], "tokens": int32 [I, n, T+1], "weights": float32 [I, n]}
TrainingBatch = Mapping[str, tf.Tensor]
# float32 [], weighted: "loss" (nats), "correct" and "words", and "captions"
Sums = dict[str, tf.Tensor]


def split_tokens(tokens: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits captions into the decoder's inputs and the words to predict.

    A caption <start> a dog <end> <pad> gives the inputs <start> a dog <pad> and the targets a dog <end> <pad>.

    Args:
      tokens: int [I, n, T+1].

    Returns:
      (inputs, targets): int [I, n, T] each; both are padding where no word follows.
    """
    targets = tokens[..., 1:]
    return tf.where(targets != PAD_ID, tokens[..., :-1], PAD_ID), targets


def make_train_step(model: keras.Model, optimizer: Adam, label_smoothing: float) -> Callable[[TrainingBatch], Sums]:
    """Returns a function that trains the model on one batch, to be called in a replica."""

    def train_step(batch: TrainingBatch) -> Sums:
        num_words = all_reduce_sum(tf.reduce_sum(_word_weights(batch)))
        return _update(model, optimizer, batch, num_words, label_smoothing)

    return train_step


def make_self_critical_step(
    model: keras.Model, optimizer: Adam, reward: Callable, settings: SelfCriticalSettings, seed: int
) -> Callable[[Mapping[str, tf.Tensor]], Sums]:
    """Returns a function that trains the model on captions of its own, to be called in a replica.

    REINFORCE with the mean reward of an image's other samples as baseline: Luo 2020, arXiv 2003.09971, formula 5. As
    each word's cross-entropy is weighted by the advantage of its caption, the step is an ordinary one.

    Args:
      model: the model; samples and gradient are of the same distribution, without dropout and <unk>.
      optimizer: the optimizer.
      reward: a function of NumPy arrays, `rewards.Rewards`. It runs beside the forward pass, which does not need it.
      settings: the settings of the phase.
      seed: the seed of the samples.
    """
    num_samples = settings.num_samples
    seed_pair = np.array(divmod(seed, 2**31), np.int32)

    def train_step(batch: Mapping[str, tf.Tensor]) -> Sums:
        """Takes {"features": float16 [I, N, C], "image": int32 [I]}."""
        context: Any = tf.distribute.get_replica_context()
        draw = tf.constant(seed_pair)
        for number in (context.replica_id_in_sync_group, optimizer.iterations.value):
            draw = tf.random.experimental.stateless_fold_in(draw, number)
        samples = decoding.sample(model, tf.cast(batch["features"], tf.float32), num_samples, draw)  # (I, n, L)
        rewards = tf.numpy_function(reward, (batch["image"], samples), tf.float32)  # (I, n)
        rewards = tf.ensure_shape(rewards, samples.shape[:2])
        others = (tf.reduce_sum(rewards, axis=1, keepdims=True) - rewards) / (num_samples - 1)  # (I, n)
        start = tf.fill([tf.shape(samples)[0], num_samples, 1], START_ID)
        sampled = {
            "features": batch["features"],
            # at the last position <end> is not chosen but set
            "tokens": tf.concat([start, samples[:, :, :-1]], axis=2),
            "weights": rewards - others,
        }
        num_words = all_reduce_sum(tf.math.count_nonzero(sampled["tokens"][:, :, 1:] != PAD_ID, dtype=tf.float32))
        mask = decoding.reserved_mask(model.inputs.vocabulary_size)
        loss = _update(model, optimizer, sampled, num_words, 0.0, training=False, logit_mask=mask)["loss"]
        num_captions = tf.cast(tf.size(rewards), tf.float32)
        return {
            "loss": loss,
            "reward": all_reduce_sum(tf.reduce_sum(rewards)),
            "captions": all_reduce_sum(num_captions),
        }

    return train_step


def _update(
    model: keras.Model,
    optimizer: Adam,
    batch: TrainingBatch,
    num_words: tf.Tensor,
    label_smoothing: float,
    training: bool = True,
    logit_mask: tf.Tensor | None = None,
) -> Sums:
    """Makes one step of the optimizer, and returns the sums of all replicas."""
    with tf.GradientTape() as tape:
        objective, sums = _compute_loss(model, batch, label_smoothing, training, logit_mask)
        objective = tf.math.divide_no_nan(objective, num_words)
    variables = model.trainable_variables
    gradients = tape.gradient(objective, [variable.value for variable in variables])
    optimizer.apply(gradients, variables)  # sums the gradients over the replicas
    return {name: all_reduce_sum(value) for name, value in sums.items()}


def make_eval_step(model: keras.Model) -> Callable[[TrainingBatch], Sums]:
    """Returns a function that evaluates the model on one batch, to be called in a replica."""

    def eval_step(batch: TrainingBatch) -> Sums:
        _, sums = _compute_loss(model, batch, 0.0, training=False)
        return {name: all_reduce_sum(value) for name, value in sums.items()}

    return eval_step


def all_reduce_sum(value: tf.Tensor) -> tf.Tensor:
    """Sums a value over the replicas."""
    context: Any = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value) if context.num_replicas_in_sync > 1 else value


def _compute_loss(
    model: keras.Model,
    batch: TrainingBatch,
    label_smoothing: float,
    training: bool,
    logit_mask: tf.Tensor | None = None,
) -> tuple[tf.Tensor, Sums]:
    """Returns the objective, summed over words, and the sums to report; a mask (V) is added to all logits."""
    tokens, targets = split_tokens(batch["tokens"])
    logits = model({"features": batch["features"], "tokens": tokens}, training=training)  # (R, V)
    if logit_mask is not None:
        logits += logit_mask
    mask_indices = tf.where(targets != PAD_ID)  # (R, 3)
    target, weight = tf.gather_nd(targets, mask_indices), tf.gather_nd(_word_weights(batch), mask_indices)  # (R,)
    objective, nll = cross_entropy(target, logits, label_smoothing)
    correct = tf.cast(tf.argmax(logits, axis=1, output_type=target.dtype) == target, tf.float32)
    return tf.reduce_sum(objective * weight), {
        "loss": tf.reduce_sum(nll * weight),
        "correct": tf.reduce_sum(correct * weight),
        "words": tf.reduce_sum(weight),
        "captions": tf.reduce_sum(batch["weights"]),
    }


def _word_weights(batch: TrainingBatch) -> tf.Tensor:
    """Returns the weight of each word, float32 [I, n, T]; padding has weight 0."""
    return batch["weights"][..., None] * tf.cast(batch["tokens"][..., 1:] != PAD_ID, tf.float32)
