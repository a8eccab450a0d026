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

    example = tf.train.Example()
    feature = example.features.feature  # filling it in place takes half the time of building it from parts
    feature[records.IMAGE_ID].bytes_list.value.append(entry.image_id.encode())
    feature[records.IMAGE_URI].bytes_list.value.append(entry.file.uri.encode())
    feature[records.SHA256].bytes_list.value.append(found.sha256.encode())
    feature[records.WIDTH].int64_list.value.append(found.width)
    feature[records.HEIGHT].int64_list.value.append(found.height)
    feature[records.CAPTIONS].bytes_list.value.extend(caption.encode() for caption in entry.captions)
    feature[records.CAPTION_WORDS].int64_list.value.extend(len(caption.split()) for caption in entry.captions)
    return example
