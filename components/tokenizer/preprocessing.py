"""The preprocessing function of TFX Transform: captions -> token IDs, references and the vocabulary."""

from typing import Any

import pydantic
import tensorflow as tf
import tensorflow_transform as tft

from components.shared import records
from components.shared.settings import CODE
from components.tokenizer.cleaning import clean
from components.tokenizer.settings import TokenizerSettings


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Cleans and tokenizes captions; analyzed on the train split alone.

    Args:
      inputs: `captions`, string [B, (n)], sparse, and `image_id`, string [B].
      custom_config: the fields of `TokenizerSettings`, and `code`, the identity of this code.

    Returns:
      `image_id`; `ids`, int64 [B, (n), T], ragged in n: <start> words <end>, padded with 0 and truncated to T tokens,
      the quantile `max_length_quantile` of the train captions' lengths; `references`, string [B, (n)], sparse: the
      cleaned captions in full.
    """
    config = {key: value for key, value in custom_config.items() if key != CODE}  # TFX's cache key has the code
    settings = pydantic.TypeAdapter(TokenizerSettings).validate_python(config)
    captions = tf.RaggedTensor.from_sparse(inputs[records.CAPTIONS])
    cleaned = clean(captions.values, settings)  # (N,)
    words = tf.strings.split(cleaned)  # (N, (words))
    vocabulary = tft.vocabulary(
        words.values,
        top_k=settings.vocabulary_size,
        vocab_filename=records.VOCABULARY,
        reserved_tokens=records.RESERVED_TOKENS,
    )
    length = quantile(words.row_lengths() + 2, settings.max_length_quantile)
    word_ids = tft.apply_vocabulary(words.values, vocabulary, default_value=records.UNK_ID)
    ids = frame(words.with_values(word_ids), length)  # (N, T)
    return {
        records.IMAGE_ID: inputs[records.IMAGE_ID],
        records.IDS: captions.with_values(tf.RaggedTensor.from_tensor(ids, row_splits_dtype=tf.int64)),
        records.REFERENCES: captions.with_values(cleaned).to_sparse(),
    }


def quantile(lengths: tf.Tensor, fraction: float) -> tf.Tensor:
    """The smallest length that at least a fraction of the analyzed captions do not exceed: an exact quantile.

    Args:
      lengths: the number of tokens per caption, int64 [N].
      fraction: the fraction, 0 to 1.

    Returns:
      int64 [], known when the analysis is done.
    """
    # there are few distinct lengths: counting them is exact, where `tft.quantiles` approximates
    keys, counts = tft.count_per_key(tf.strings.as_string(lengths))
    values = tf.strings.to_number(keys, tf.int64)
    order = tf.argsort(values)
    cumulative = tf.cumsum(tf.gather(counts, order))
    is_enough = tf.cast(cumulative, tf.float64) >= fraction * tf.cast(cumulative[-1], tf.float64)
    return tf.reduce_min(tf.boolean_mask(tf.gather(values, order), is_enough))


def frame(word_ids: tf.RaggedTensor, length: tf.Tensor) -> tf.Tensor:
    """Puts <start> and <end> around each caption, and pads or truncates it to a length.

    A caption that is too long is truncated and has no <end>: the model must not learn to end there.

    [[7, 8], [9]], 4 -> [[2, 7, 8, 3], [2, 9, 3, 0]]

    Args:
      word_ids: the word ids of each caption, int64 [N, (words)].
      length: the number of tokens, int64 [].

    Returns:
      int64 [N, length].
    """
    ones = tf.ones([word_ids.nrows(), 1], tf.int64)
    framed = tf.concat([ones * records.START_ID, word_ids, ones * records.END_ID], axis=1)
    truncated = framed[:, :length].to_tensor(records.PAD_ID)
    num_missing = length - tf.shape(truncated, out_type=tf.int64)[1]
    return tf.pad(truncated, [[0, 0], [0, num_missing]], constant_values=records.PAD_ID)
