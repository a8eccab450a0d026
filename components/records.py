"""The records that flow between the steps: names, dtypes, shapes, and the project's own artifact types.

caption_ingest  -> examples              one tf.Example a picture, see EXAMPLE_SPEC
                -> rejects               JSON lines of {image_id, line, reason, detail, rows, source}
tokenizer       -> transformed_examples  one tf.Example a picture: image_id, ids, references
feature store   -> shards                one tf.Example a picture content, see FEATURE_SPEC
bleu_evaluator  -> predictions           COCO results format, [{"image_id", "caption"}]
report          -> report                one HTML file
"""

from collections.abc import Iterable, Iterator

import tensorflow as tf
from tfx.types.artifact import Artifact

from components.datasets import without_autotuning

# splits; BLEU is reported on TEST, checkpoints are chosen on EVAL
TRAIN, EVAL, TEST = "train", "eval", "test"
SPLITS = (TRAIN, EVAL, TEST)

# fields of `examples`
IMAGE_ID = "image_id"  # the picture's file name, as the captions name it
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

# the first lines of the vocabulary file, so that a word's id is its line number
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
COUNTS = "counts"  # JSON; of `examples`: {"images": {split: n}, "captions": n}; of `rejects`: {reason: n}
COMPUTED = "computed"  # of `features`: how many pictures this run had to compute
WARNINGS = "warnings"  # JSON list; of `examples` and `anomalies`: what is odd about the data that passed
DECISION = "decision"  # of `evaluation` and `blessing`: one of the three below
BLESSED, REFUSED, UNCHANGED = "blessed", "refused", "unchanged"
CANDIDATE_ID = "candidate_id"  # of `evaluation`: the model that was measured
TEST_SET = "test_set"  # of `evaluation`: hash of the pictures and references that it was measured on
RULES = "rules"  # JSON list; of `evaluation`: each rule with its value and verdict
MODEL_NAME = "model_name"  # of a model and the logs of its training: "transformer", "attention"
OTHER_MODELS = "other_models"  # JSON list; of `evaluation`: ids of the models that were measured beside the candidate
ROLLED_BACK = "rolled_back"  # of a model: when it was taken from service by hand; it is not blessed again
FINGERPRINT = "fingerprint"  # exec property: what the driver read from outside (data, weights, a file)

# files of `evaluation`
EVALUATION_FILE = "evaluation.json"  # decision, rules, metrics with their intervals
PICTURES_FILE = "pictures.json"  # each test picture with its references, captions and their scores
REPORT_FILE = "report.html"  # of `report`


class Features(Artifact):
    """The manifest of the pictures' features: see `components.features`."""

    TYPE_NAME = "captions.Features"


class Rejects(Artifact):
    """What the ingest did not take, with the reasons, as JSON lines."""

    TYPE_NAME = "captions.Rejects"


class Predictions(Artifact):
    """Captions of the test pictures in COCO's results format."""

    TYPE_NAME = "captions.Predictions"


class Report(Artifact):
    """A run's report for people: one HTML file."""

    TYPE_NAME = "captions.Report"


# the figures that say how good captions are, by their names in an evaluation, as people call them
QUALITY = {
    "bleu_1": "BLEU-1",
    "bleu_2": "BLEU-2",
    "bleu_3": "BLEU-3",
    "bleu_4": "BLEU-4",
    "cider": "CIDEr",
    "rouge_l": "ROUGE-L",
    "meteor": "METEOR",
}


def read_examples(files: Iterable[str], spec: dict, batch_size: int = 1024) -> Iterator[dict[str, tf.Tensor]]:
    """Reads GZIP TFRecords of tf.Examples in batches.

    Args:
      files: their paths; they are read in this order.
      spec: what to parse, see `tf.io.parse_example`.
      batch_size: examples a batch.

    Yields:
      parsed batches: name -> tensor whose first dimension is the batch.
    """
    dataset = tf.data.TFRecordDataset(list(files), compression_type="GZIP").batch(batch_size)
    for serialized in without_autotuning(dataset):
        yield tf.io.parse_example(serialized, spec)


def split_files(examples: Artifact, split: str) -> list[str]:
    """The record files of one split of an `examples` or `transformed_examples` artifact, in order."""
    return sorted(tf.io.gfile.glob(f"{examples.uri}/Split-{split}/*"))
