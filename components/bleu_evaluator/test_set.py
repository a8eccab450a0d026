"""The test split as people described it: pictures, raw references, and all other fields of the examples."""

import dataclasses
import hashlib
import json
import os

import tensorflow as tf
from tfx.types.artifact import Artifact

from components import records
from components.bleu_evaluator import metrics
from components.bleu_evaluator.slices import Record
from components.datasets import without_autotuning


@dataclasses.dataclass(frozen=True)
class TestSet:
    """The pictures in the order of their ids; all lists are of the same length.

    Attributes:
      image_ids: names.
      paths: files.
      references: raw sentences of each; nothing is cut, and no word is replaced.
      examples: all fields of each example.
    """

    __test__ = False  # pytest takes the name for a test's

    image_ids: list[str]
    paths: list[str]
    references: list[list[str]]
    examples: list[Record]

    @property
    def fingerprint(self) -> str:
        """Hash of the pictures' contents and references: two test sets with the same one are the same."""
        digest = hashlib.sha256()
        for image_id, example, references in zip(self.image_ids, self.examples, self.references, strict=True):
            digest.update(json.dumps([image_id, example.get(records.SHA256), references]).encode())
        return digest.hexdigest()[:16]


def read(examples: Artifact) -> TestSet:
    """Reads the test split of `examples`."""
    root = examples.get_string_custom_property(records.DATA_ROOT)
    files = records.split_files(examples, records.TEST)
    dataset = without_autotuning(tf.data.TFRecordDataset(files, "GZIP"))
    found = [_fields(serialized) for serialized in dataset.as_numpy_iterator()]
    found.sort(key=lambda fields: str(fields[records.IMAGE_ID][0]))
    return TestSet(
        [str(fields[records.IMAGE_ID][0]) for fields in found],
        [os.path.join(root, str(fields[records.IMAGE_URI][0])) for fields in found],
        [[str(sentence) for sentence in fields[records.CAPTIONS]] for fields in found],
        found,
    )


def training_captions(examples: Artifact) -> frozenset[str]:
    """The captions of the train split, see `metrics.known_captions`."""
    spec = {records.CAPTIONS: records.EXAMPLE_SPEC[records.CAPTIONS]}
    batches = records.read_examples(records.split_files(examples, records.TRAIN), spec)
    return metrics.known_captions({text.decode() for batch in batches for text in _texts(batch)})


def _texts(batch: dict) -> list[bytes]:
    return batch[records.CAPTIONS].flat_values.numpy().tolist()


def _fields(serialized: bytes) -> Record:
    """All fields of a serialized tf.Example, whatever they are called; texts as str."""
    fields: dict[str, list[int | float | str]] = {}
    for name, feature in tf.train.Example.FromString(serialized).features.feature.items():
        values = getattr(feature, feature.WhichOneof("kind") or "bytes_list").value
        fields[name] = [value.decode(errors="replace") if isinstance(value, bytes) else value for value in values]
    return fields
