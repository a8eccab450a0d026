"""What a sentence is reduced to before it is split into words. Predictions and references are compared in this form."""

import tensorflow as tf


def clean(sentences: tf.Tensor) -> tf.Tensor:
    """Lower case, letters only, in any script; words keep their order, one-letter words stay.

    "A man's 2 dogs!" -> "a man s dogs"

    Args:
      sentences: string [N], UTF-8.

    Returns:
      string [N], words between single spaces; empty where there was no letter.
    """
    lowered = tf.strings.lower(sentences, encoding="utf-8")
    letters = tf.strings.regex_replace(lowered, r"[^\p{L}\p{M}]+", " ")
    return tf.strings.strip(letters)
