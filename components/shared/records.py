"""The records that flow between the steps: names, dtypes, shapes, and the project's own artifact types.

caption_ingest  -> examples              one tf.Example per image, see EXAMPLE_SPEC
                -> rejects               JSON lines of {image_id, line, reason, detail, rows, source}
tokenizer       -> transformed_examples  one tf.Example per image: image_id, ids, references
feature store   -> shards                one tf.Example per image content, see FEATURE_SPEC
bleu_evaluator  -> predictions           COCO results format, [{"image_id", "caption"}]
report          -> report                one HTML file
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf
from tfx.types.artifact import Artifact

from components.shared import storage
from components.shared.datasets import without_autotuning

# splits; BLEU is reported on TEST, checkpoints are chosen on EVAL
TRAIN, EVAL, TEST = "train", "eval", "test"
SPLITS = (TRAIN, EVAL, TEST)

# fields of `examples`
IMAGE_ID = "image_id"  # the image's file name, as the captions name it
IMAGE_URI = "image_uri"  # its path below the data root
SHA256 = "sha256"  # of the file's bytes, hexadecimal
WIDTH, HEIGHT = "width", "height"  # pixels
CAPTIONS = "captions"  # [n] raw sentences
CAPTION_WORDS = "caption_words"  # [n] words of each, between blanks

EXAMPLE_SPEC = {
    IMAGE_ID: tf.io.FixedLenFeature([], tf.string),
    IMAGE_URI: tf.io.FixedLenFeature([], tf.string),
    SHA256: tf.io.FixedLenFeature([], tf.string),
    WIDTH: tf.io.FixedLenFeature([], tf.int64),
    HEIGHT: tf.io.FixedLenFeature([], tf.int64),
    CAPTIONS: tf.io.RaggedFeature(tf.string, row_splits_dtype=tf.int64),
    CAPTION_WORDS: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
}

# fields of `transformed_examples`, beside IMAGE_ID
IDS = "ids"  # int64 [n, T]: <start> words <end>, padded with PAD_ID
REFERENCES = "references"  # [n] cleaned sentences, words between single spaces, nothing mapped to <unk>

# the first lines of the vocabulary file, so that a word's ID is its line number
PAD, UNK, START, END = "<pad>", "<unk>", "<start>", "<end>"
RESERVED_TOKENS = (PAD, UNK, START, END)
PAD_ID, UNK_ID, START_ID, END_ID = range(len(RESERVED_TOKENS))
VOCABULARY = "vocabulary"  # the name of the vocabulary in the transform graph

# fields of a feature store's shards, beside SHA256
FEATURE = "feature"  # raw little-endian float16 [positions, channels]
FEATURE_SPEC = {
    SHA256: tf.io.FixedLenFeature([], tf.string),
    FEATURE: tf.io.FixedLenFeature([], tf.string),
}

# custom properties of artifacts
DATA_ROOT = "data_root"  # of `examples`: the directory that IMAGE_URI is relative to
SPLITS_FROM = "splits_from"  # of `examples`: one of the two below
OFFICIAL, HASHED = "official", "hashed"  # the dataset itself defines the splits; or a hash of the images' names
COUNTS = "counts"  # JSON; of `examples`: {"images": {split: n}, "captions": n}; of `rejects`: {reason: n}
CHECKPOINT_DIR = "checkpoint_dir"  # of `weights`: the checkpoints of their training, which are no longer needed
COMPUTED = "computed"  # of `features`: number of images whose features this run computed
WARNINGS = "warnings"  # JSON list; of `examples` and `anomalies`: what is odd about the data that passed
DECISION = "decision"  # of `evaluation` and `blessing`: one of the three below
BLESSED, REJECTED, UNCHANGED = "blessed", "rejected", "unchanged"
CANDIDATE_ID = "candidate_id"  # of `evaluation`: the model that was measured
TEST_SET = "test_set"  # of `evaluation`: hash of the images and references of the evaluation
RULES = "rules"  # JSON list; of `evaluation`: each rule with its value and verdict
MODEL_LABEL = "model_label"  # of weights, models and training logs: "transformer", "gru", "transformer_2"
COMPARISON_MODELS = "comparison_models"  # JSON list; of `evaluation`: IDs of the comparison models it covers
ROLLED_BACK = "rolled_back"  # of a model: when it was rolled back; it is never blessed again
INCOMPLETE = "incomplete"  # of any: which files could not be read when it was made; it is never used again
FINGERPRINT = "fingerprint"  # exec property: what the driver read from outside (data, weights, a file)

# files of `evaluation`
EVALUATION_FILE = "evaluation.json"  # decision, rules, metrics with their intervals
IMAGES_FILE = "images.json"  # each test image with its references, captions and their scores
REPORT_FILE = "report.html"  # of `report`
REJECTS_FILE = "rejects.jsonl"  # of `rejects`


class Weights(Artifact):
    """A trained captioning model: see `components.shared.models.weights`."""

    TYPE_NAME = "captions.Weights"


class Features(Artifact):
    """The manifest of the images' features: see `components.shared.features`."""

    TYPE_NAME = "captions.Features"


class Rejects(Artifact):
    """What the ingest did not take, with the reasons, as JSON lines."""

    TYPE_NAME = "captions.Rejects"


class Predictions(Artifact):
    """Captions of the test images in COCO's results format."""

    TYPE_NAME = "captions.Predictions"


class Report(Artifact):
    """A run's report for people: one HTML file."""

    TYPE_NAME = "captions.Report"


def read_examples(files: Iterable[str], spec: dict, batch_size: int = 1024) -> Iterator[dict[str, tf.Tensor]]:
    """Reads GZIP TFRecords of tf.Examples in batches.

    Args:
      files: their paths; they are read in this order.
      spec: what to parse, see `tf.io.parse_example`.
      batch_size: number of examples per batch.

    Yields:
      parsed batches: name -> tensor whose first dimension is the batch.
    """
    dataset = tf.data.TFRecordDataset(list(files), compression_type="GZIP").batch(batch_size)
    for serialized in without_autotuning(dataset):
        yield tf.io.parse_example(serialized, spec)


def split_files(examples: Artifact, split: str) -> list[str]:
    """The record files of one split of an `examples` or `transformed_examples` artifact, in order."""
    return sorted(tf.io.gfile.glob(f"{examples.uri}/Split-{split}/*"))


def read_rejects(uri: str) -> list[Mapping[str, Any]]:
    """Reads a `rejects` artifact: {image_id, line, reason, detail, rows, source} per reject."""
    lines = storage.read_text(os.path.join(uri, REJECTS_FILE)).split("\n")
    return [json.loads(line) for line in lines if line]
