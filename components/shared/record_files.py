"""Reading the record files of the steps: the fields of each record with dtypes and shapes, and batches of them."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf
from tfx.types.artifact import Artifact

from components.shared import node_cache, records, storage
from components.shared.datasets import without_autotuning

EXAMPLE_SPEC = {
    records.IMAGE_ID: tf.io.FixedLenFeature([], tf.string),
    records.IMAGE_URI: tf.io.FixedLenFeature([], tf.string),
    records.SHA256: tf.io.FixedLenFeature([], tf.string),
    records.WIDTH: tf.io.FixedLenFeature([], tf.int64),
    records.HEIGHT: tf.io.FixedLenFeature([], tf.int64),
    records.CAPTIONS: tf.io.RaggedFeature(tf.string, row_splits_dtype=tf.int64),
    records.CAPTION_WORDS: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
}

FEATURE_SPEC = {
    records.SHA256: tf.io.FixedLenFeature([], tf.string),
    records.FEATURE: tf.io.FixedLenFeature([], tf.string),
}


def read_examples(files: Iterable[str], spec: dict, batch_size: int = 1024) -> Iterator[dict[str, tf.Tensor]]:
    """Reads GZIP TFRecords of tf.Examples in batches.

    Args:
      files: their paths; they are read in this order.
      spec: what to parse, see `tf.io.parse_example`.
      batch_size: number of examples per batch.

    Yields:
      parsed batches: name -> tensor whose first dimension is the batch.
    """
    dataset = tf.data.TFRecordDataset(node_cache.files(list(files)), compression_type="GZIP").batch(batch_size)
    for serialized in without_autotuning(dataset):
        yield tf.io.parse_example(serialized, spec)


def split_files(examples: Artifact, split: str) -> list[str]:
    """The record files of one split of an `examples` or `transformed_examples` artifact, in order."""
    directory = os.path.join(examples.uri, f"Split-{split}")
    return [os.path.join(directory, name) for name in storage.list_names(directory) if not name.startswith(".")]


def read_rejects(uri: str) -> list[Mapping[str, Any]]:
    """Reads a `rejects` artifact: {image_id, line, reason, detail, rows, source} per reject."""
    lines = storage.read_text(os.path.join(uri, records.REJECTS_FILE)).split("\n")
    return [json.loads(line) for line in lines if line]
