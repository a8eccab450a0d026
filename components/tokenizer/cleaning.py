"""The form of a sentence before it is split into words, in which the model learns and predicts captions."""

import tensorflow as tf

from components.shared import words
from components.shared.rewriting import rewrite


def clean(sentences: tf.Tensor, tokenization: words.Tokenization) -> tf.Tensor:
    """Lowercases sentences and keeps their words only, as `words.split_words` does; one-letter words stay.

    "A man's 2 dogs!" -> "a man s 2 dogs", or "a man s dogs" without digits

    Args:
      sentences: sentences in the form of `words.compose`, string [N], UTF-8.
      tokenization: what counts as a word.

    Returns:
      string [N], words between single spaces; empty where a sentence has no word.
    """
    return rewrite(tf.strings.lower(sentences, encoding="utf-8"), words.split_rules(tokenization))
