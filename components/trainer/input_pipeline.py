"""Features, streamed from the store's shards, meet word ids, held in memory."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from components import records
from components.features import Manifest

SHUFFLE = 512  # pictures in the shuffle buffer: 128 MiB of InceptionV3 features


def load_ids(files: Sequence[str], feature_spec: Mapping) -> dict[str, np.ndarray]:
    """Reads the word ids of a split.

    Args:
      files: of `transformed_examples`.
      feature_spec: of the transform graph.

    Returns:
      image id -> int32 [n, T].
    """
    spec = {name: feature_spec[name] for name in (records.IMAGE_ID, records.IDS)}
    ids: dict[str, np.ndarray] = {}
    for batch in records.read_examples(files, spec):
        for image_id, rows in zip(batch[records.IMAGE_ID].numpy(), batch[records.IDS], strict=True):
            ids[image_id.decode()] = rows.to_tensor().numpy().astype(np.int32)
    return ids


def make_dataset(
    manifest: Manifest, ids: Mapping[str, np.ndarray], captions: int, shuffle_seed: int | None = None
) -> tf.data.Dataset:
    """Batches of pictures, each with all its captions.

    Args:
      manifest: of the run's features.
      ids: image id -> int32 [n, T], of the pictures wanted.
      captions: a batch holds about this many, as whole pictures.
      shuffle_seed: shuffles shards and pictures anew each epoch; None keeps their order.

    Returns:
      batches of ({"features": float32 [P, N, C], "tokens": int32 [P, n, T-1]}, targets: int32 [P, n, T-1]), where n is
      the most captions of any picture and T the longest of the batch; what is not there is padding.
    """
    shards = manifest.shards_of(ids)
    by_sha: dict[str, list[np.ndarray]] = {}
    for pictures in shards.values():
        for image_id, sha in pictures.items():
            by_sha.setdefault(sha, []).append(ids[image_id])  # the same picture may come under several names
    table, rows = _lookup({sha: np.concatenate(parts) for sha, parts in by_sha.items()})
    paths = [os.path.join(manifest.directory, shard) for shard in shards]

    def join(serialized):
        sha, feature = manifest.parse(serialized)
        row = table.lookup(sha)
        return row, feature

    files = tf.data.Dataset.from_tensor_slices(paths)
    if shuffle_seed is not None:
        files = files.shuffle(len(paths), seed=shuffle_seed)
    dataset = files.interleave(tf.data.TFRecordDataset, cycle_length=4, block_length=16)
    dataset = dataset.map(join, tf.data.AUTOTUNE).filter(lambda row, feature: row >= 0)
    if shuffle_seed is not None:
        dataset = dataset.shuffle(SHUFFLE, seed=shuffle_seed)

    def finish(row, feature):
        tokens = tf.gather(rows, row)  # (P, n, T)
        longest = tf.reduce_max(tf.reduce_sum(tf.cast(tokens != records.PAD_ID, tf.int32), axis=-1))
        tokens = tokens[:, :, :longest]
        return {"features": tf.cast(feature, tf.float32), "tokens": tokens[..., :-1]}, tokens[..., 1:]

    batch = max(1, captions * len(by_sha) // sum(map(len, ids.values())))  # pictures
    dataset = dataset.batch(batch).map(finish, tf.data.AUTOTUNE)
    # a filter hides the length from Keras, which then can't tell how far an epoch is
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(-(-len(by_sha) // batch)))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _lookup(ids: Mapping[str, np.ndarray]) -> tuple[tf.lookup.StaticHashTable, tf.Tensor]:
    """A table sha256 -> row (-1 for none), and the rows: int32 [pictures, most captions, T]."""
    most = max(len(parts) for parts in ids.values())
    longest = max(parts.shape[1] for parts in ids.values())
    rows = np.full((len(ids), most, longest), records.PAD_ID, np.int32)
    for row, parts in enumerate(ids.values()):
        rows[row, : len(parts), : parts.shape[1]] = parts
    keys, values = tf.constant(list(ids)), tf.range(len(ids), dtype=tf.int64)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1), tf.constant(rows)
