"""The preprocessing function of TFX Transform: captions -> ids, references and the vocabulary."""

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components import records
from components.tokenizer.cleaning import clean

# of `custom_config`
VOCABULARY_SIZE = "vocabulary_size"  # words in the vocabulary, the most frequent ones of train
COVERAGE = "coverage"  # share of train's captions that must fit into T tokens, 0 to 1


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Cleans and tokenizes; analyzed on the train split alone.

    Args:
      inputs: `captions`, string [B, (n)], sparse, and `image_id`, string [B].
      custom_config: see the names above.

    Returns:
      `image_id`; `ids`, int64 [B, (n), T], ragged in n: <start> words <end>, padded with 0, cut after T, where T covers
      the asked share of train's captions; `references`, string [B, (n)], sparse: the cleaned captions, whole.
    """
    captions = tf.RaggedTensor.from_sparse(inputs[records.CAPTIONS])
    cleaned = clean(captions.values)  # (N,)
    words = tf.strings.split(cleaned)  # (N, (words))
    vocabulary = tft.vocabulary(
        words.values,
        top_k=custom_config[VOCABULARY_SIZE],
        vocab_filename=records.VOCABULARY,
        reserved_tokens=records.RESERVED_TOKENS,
    )
    length = covering_length(words.row_lengths() + 2, custom_config[COVERAGE])
    word_ids = tft.apply_vocabulary(words.values, vocabulary, default_value=records.UNK_ID)
    ids = frame(words.with_values(word_ids), length)  # (N, T)
    return {
        records.IMAGE_ID: inputs[records.IMAGE_ID],
        records.IDS: captions.with_values(tf.RaggedTensor.from_tensor(ids, row_splits_dtype=tf.int64)),
        records.REFERENCES: captions.with_values(cleaned).to_sparse(),
    }


def covering_length(lengths: tf.Tensor, share: float) -> tf.Tensor:
    """The smallest length that at least a share of the analyzed captions do not exceed: an exact quantile.

    Args:
      lengths: int64 [N], tokens a caption.
      share: 0 to 1.

    Returns:
      int64 [], known when the analysis is done.
    """
    # lengths are few and small: counting each is exact, where `tft.quantiles` approximates
    keys, counts = tft.count_per_key(tf.strings.as_string(lengths))
    values = tf.strings.to_number(keys, tf.int64)
    order = tf.argsort(values)
    reached = tf.cumsum(tf.gather(counts, order))
    enough = tf.cast(reached, tf.float64) >= share * tf.cast(reached[-1], tf.float64)
    return tf.reduce_min(tf.boolean_mask(tf.gather(values, order), enough))


def frame(word_ids: tf.RaggedTensor, length: tf.Tensor) -> tf.Tensor:
    """Puts <start> and <end> around each caption and makes all of one length.

    A caption that is too long is cut and has no <end>: the model is not taught to end there.

    [[7, 8], [9]], 4 -> [[2, 7, 8, 3], [2, 9, 3, 0]]

    Args:
      word_ids: int64 [N, (words)].
      length: int64 [].

    Returns:
      int64 [N, length].
    """
    ones = tf.ones([word_ids.nrows(), 1], tf.int64)
    framed = tf.concat([ones * records.START_ID, word_ids, ones * records.END_ID], axis=1)
    cut = framed[:, :length].to_tensor(records.PAD_ID)
    missing = length - tf.shape(cut, out_type=tf.int64)[1]
    return tf.pad(cut, [[0, 0], [0, missing]], constant_values=records.PAD_ID)
