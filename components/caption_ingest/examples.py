"""Usable pictures -> the record files of the `examples` artifact."""

import os
from collections.abc import Mapping, Sequence

import tensorflow as tf

from components import records
from components.caption_ingest.dataset import Entry
from components.caption_ingest.pictures import Inspected

EXAMPLES_A_FILE = 16_384


def write_examples(uri: str, entries: Sequence[Entry], inspected: Mapping[str, Inspected | None]) -> None:
    """Writes one tf.Example a picture, split by split, in the order of the entries; equal input gives equal bytes.

    Args:
      uri: directory of the `examples` artifact.
      entries: usable pictures.
      inspected: image id -> what was found out about the picture.

    Raises:
      ValueError: a split would be empty, which no later step could work with.
    """
    for split in records.SPLITS:
        chosen = [entry for entry in entries if entry.split == split]
        if not chosen:
            raise ValueError(
                f"no picture is left for the {split} split ({len(entries)} pictures in all): "
                "give more pictures, a higher data.limit, or other data.split_shares"
            )
        starts = range(0, len(chosen), EXAMPLES_A_FILE)
        for number, start in enumerate(starts):
            path = os.path.join(uri, f"Split-{split}", f"captions-{number:05d}-of-{len(starts):05d}.gz")
            tf.io.gfile.makedirs(os.path.dirname(path))
            with tf.io.TFRecordWriter(path, "GZIP") as writer:
                for entry in chosen[start : start + EXAMPLES_A_FILE]:
                    writer.write(_example(entry, inspected[entry.image_id]).SerializeToString(deterministic=True))


def _example(entry: Entry, found: Inspected | None) -> tf.train.Example:
    assert found is not None, entry  # `sift` has rejected what was not found

    def texts(*values: str) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))

    def numbers(*values: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    return tf.train.Example(
        features=tf.train.Features(
            feature={
                records.IMAGE_ID: texts(entry.image_id),
                records.IMAGE_URI: texts(entry.file.uri),
                records.SHA256: texts(found.sha256),
                records.WIDTH: numbers(found.width),
                records.HEIGHT: numbers(found.height),
                records.CAPTIONS: texts(*entry.captions),
                records.CAPTION_WORDS: numbers(*(len(caption.split()) for caption in entry.captions)),
            }
        )
    )
