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
      the most captions of any picture of the batch and T its longest; what is not there is padding.
    """
    shards = manifest.shards_of(ids)
    # a picture's content may lie in other shards too, where runs overlapped: only what the manifest names is taken
    by_record: dict[str, list[np.ndarray]] = {}
    for shard, pictures in shards.items():
        for image_id, sha in pictures.items():
            # the same picture may come under several names
            by_record.setdefault(f"{shard}/{sha}", []).append(ids[image_id])
    table, rows = _lookup({record: np.concatenate(parts) for record, parts in by_record.items()})

    def read(shard):
        records_of = tf.data.TFRecordDataset(tf.strings.join([manifest.directory, shard], os.sep))
        return records_of.map(lambda serialized: (shard, serialized))

    def join(shard, serialized):
        sha, feature = manifest.parse(serialized)
        row = table.lookup(tf.strings.join([shard, sha], "/"))
        return row, feature

    names = tf.data.Dataset.from_tensor_slices(list(shards))
    if shuffle_seed is not None:
        names = names.shuffle(len(shards), seed=shuffle_seed)
    dataset = names.interleave(read, cycle_length=4, block_length=16)
    dataset = dataset.map(join, tf.data.AUTOTUNE).filter(lambda row, feature: row >= 0)
    if shuffle_seed is not None:
        dataset = dataset.shuffle(SHUFFLE, seed=shuffle_seed)

    def finish(row, feature):
        tokens = tf.gather(rows, row)  # (P, most captions, T) of the whole split
        lengths = tf.math.count_nonzero(tokens != records.PAD_ID, axis=-1)  # (P, most captions)
        tokens = tokens[:, : tf.reduce_max(tf.math.count_nonzero(lengths, axis=-1)), : tf.reduce_max(lengths)]
        return {"features": tf.cast(feature, tf.float32), "tokens": tokens[..., :-1]}, tokens[..., 1:]

    batch = max(1, captions * len(by_record) // sum(map(len, ids.values())))  # pictures
    dataset = dataset.batch(batch).map(finish, tf.data.AUTOTUNE)
    # a filter hides the length from Keras, which then can't tell how far an epoch is
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(-(-len(by_record) // batch)))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _lookup(ids: Mapping[str, np.ndarray]) -> tuple[tf.lookup.StaticHashTable, tf.Tensor]:
    """A table key -> row (-1 for none), and the rows: int32 [keys, most captions, T]."""
    most = max(len(parts) for parts in ids.values())
    longest = max(parts.shape[1] for parts in ids.values())
    rows = np.full((len(ids), most, longest), records.PAD_ID, np.int32)
    for row, parts in enumerate(ids.values()):
        rows[row, : len(parts), : parts.shape[1]] = parts
    keys, values = tf.constant(list(ids)), tf.range(len(ids), dtype=tf.int64)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1), tf.constant(rows)
