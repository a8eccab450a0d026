"""Greedy decoding in the graph: the picture is encoded once, and each word costs one step of the decoder."""

import tensorflow as tf

from components.records import END_ID, PAD_ID, START_ID, UNK_ID
from components.trainer.transformer import CaptionTransformer

NEVER = -1e9  # logit of what may not be said


def greedy(model: CaptionTransformer, features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The likeliest word after word, until <end> or the model's greatest length.

    Args:
      model: trained.
      features: float32 [B, N, C].

    Returns:
      ids: int32 [B, L], words without <start>, <end> where it ended, then padding; never <unk>, never empty.
      score: float32 [B], the caption's log-probability (natural logarithm), <end> included.
    """
    length = model.settings.max_length - 1  # tokens that are decided
    batch = tf.shape(features)[0]
    past, memories = model.start(model.encode(features), length)
    said = tf.zeros((batch, length), tf.int32) + PAD_ID
    last = tf.fill([batch], START_ID)
    ended = tf.zeros([batch], tf.bool)
    score = tf.zeros([batch])
    forbidden = tf.reduce_sum(tf.one_hot([PAD_ID, UNK_ID, START_ID], model.settings.vocabulary_size), axis=0) * NEVER
    no_end = tf.one_hot(END_ID, model.settings.vocabulary_size) * NEVER  # not as the first word

    def body(position, said, last, ended, score, past):
        logits, past = model.step(last, position, past, memories)  # (B, V)
        logits += forbidden + tf.where(position == 0, no_end, 0.0)
        word = tf.argmax(logits, axis=1, output_type=tf.int32)  # (B,)
        chance = tf.reduce_max(tf.nn.log_softmax(logits), axis=1)  # (B,)
        word, chance = tf.where(ended, PAD_ID, word), tf.where(ended, 0.0, chance)
        said += word[:, None] * tf.one_hot(position, length, dtype=tf.int32)
        return position + 1, said, word, ended | (word == END_ID), score + chance, past

    def goes_on(position, said, last, ended, score, past):
        return (position < length) & ~tf.reduce_all(ended)

    _, said, _, _, score, _ = tf.while_loop(goes_on, body, (0, said, last, ended, score, past))
    return said, score
