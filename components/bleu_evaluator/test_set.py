"""The test split: images, raw references, and all other fields of the examples."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Sequence

import tensorflow as tf

from components.bleu_evaluator.measurement import tokenized
from components.bleu_evaluator.slices import Record
from components.shared import record_files, records
from components.shared.datasets import without_autotuning
from components.shared.images.ingested import IngestedImage
from components.shared.words import Tokenization

MAX_REFERENCES = 100  # of an image and its copies together, as many as the ingest takes for one image


@dataclasses.dataclass(frozen=True)
class TestSet:
    """The images in the order of their IDs; all lists have the same length.

    Attributes:
      image_ids: the names of the images.
      paths: the files of the images.
      references: the raw reference captions of each image, neither truncated nor with <unk>.
      examples: all fields of each example.
      num_copies: number of further images that equal one of these, whose references count for it.
    """

    __test__ = False  # else pytest takes it for a test class

    image_ids: list[str]
    paths: list[str]
    references: list[list[str]]
    examples: list[Record]
    num_copies: int = 0

    @property
    def fingerprint(self) -> str:
        """Hash of the images' contents and references: equal for equal test sets."""
        digest = hashlib.sha256()
        for image_id, example, references in zip(self.image_ids, self.examples, self.references, strict=True):
            digest.update(json.dumps([image_id, example.get(records.SHA256), references]).encode())
        return digest.hexdigest()[:16]

    def images(self) -> dict[str, IngestedImage]:
        """Image ID -> image, to read it again."""
        hashes = [str(example[records.SHA256][0]) for example in self.examples]
        images = map(IngestedImage, self.paths, hashes)
        return dict(zip(self.image_ids, images, strict=True))


def read(files: Sequence[str], data_root: str, merge_copies: bool) -> TestSet:
    """Reads the test split.

    Args:
      files: the GZIP TFRecords of the split, of CaptionIngest.
      data_root: the directory that the images' uris are relative to.
      merge_copies: whether images with equal content count once, with the references of all: many copies of one image
        would decide the metrics. Official test sets are what their authors published.

    Returns:
      the test set, sorted by image ID.
    """
    dataset = without_autotuning(tf.data.TFRecordDataset(list(files), "GZIP"))
    all_fields = [_fields(serialized) for serialized in dataset.as_numpy_iterator()]
    all_fields.sort(key=lambda fields: str(fields[records.IMAGE_ID][0]))
    unique = _merge_copies(all_fields) if merge_copies else all_fields
    return TestSet(
        [str(fields[records.IMAGE_ID][0]) for fields in unique],
        [os.path.join(data_root, str(fields[records.IMAGE_URI][0])) for fields in unique],
        [[str(sentence) for sentence in fields[records.CAPTIONS]] for fields in unique],
        unique,
        len(all_fields) - len(unique),
    )


def _merge_copies(all_fields: Iterable[Record]) -> list[Record]:
    """The first image of each content, with the different captions of all its copies."""
    copies: dict[str, list[Record]] = {}
    for fields in all_fields:
        copies.setdefault(str(fields[records.SHA256][0]), []).append(fields)
    merged = []
    for first, *others in copies.values():
        captions = dict.fromkeys(text for fields in (first, *others) for text in fields[records.CAPTIONS])
        merged.append({**first, records.CAPTIONS: list(captions)[:MAX_REFERENCES]} if others else first)
    return merged


def train_captions(files: Sequence[str], tokenization: Tokenization) -> frozenset[str]:
    """Reads the captions of the train split from its GZIP TFRecords, see `measurement.tokenized`."""
    spec = {records.CAPTIONS: record_files.EXAMPLE_SPEC[records.CAPTIONS]}
    batches = record_files.read_examples(files, spec)
    return tokenized({text.decode() for batch in batches for text in _texts(batch)}, tokenization)


def _texts(batch: dict) -> list[bytes]:
    return batch[records.CAPTIONS].flat_values.numpy().tolist()


def _fields(serialized: bytes) -> Record:
    """All fields of a serialized tf.Example, texts as str."""
    fields: dict[str, list[int | float | str]] = {}
    for name, feature in tf.train.Example.FromString(serialized).features.feature.items():
        values = getattr(feature, feature.WhichOneof("kind") or "bytes_list").value
        fields[name] = [value.decode(errors="replace") if isinstance(value, bytes) else value for value in values]
    return fields
