"""The rules of `words` on tensors."""

from collections.abc import Iterable

import tensorflow as tf


def rewrite(texts: tf.Tensor, rules: Iterable[tuple[str, str]]) -> tf.Tensor:
    """Applies rules of `words` to texts, string of any shape, UTF-8: one after the other, wherever a pattern fits."""
    for pattern, replacement in rules:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    return texts
