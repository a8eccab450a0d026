"""How many examples break the schema, which TFDV's statistics do not tell of ranges and numbers of values."""

from collections import Counter
from collections.abc import Iterable, Sequence

import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from components.datasets import without_autotuning

_KINDS = {schema_pb2.BYTES: "bytes_list", schema_pb2.INT: "int64_list", schema_pb2.FLOAT: "float_list"}


def count_broken(files: Sequence[str], features: Iterable[schema_pb2.Feature]) -> Counter[str]:
    """Counts the examples that break what the schema says of each feature.

    Args:
      files: GZIP TFRecords of tf.Examples.
      features: of the schema.

    Returns:
      name of a feature -> number of examples that `breaks` it.
    """
    found: Counter[str] = Counter()
    features = list(features)
    for record in without_autotuning(tf.data.TFRecordDataset(list(files), "GZIP")).as_numpy_iterator():
        example = tf.train.Example.FromString(record)
        found.update(feature.name for feature in features if breaks(example, feature))
    return found


def breaks(example: tf.train.Example, feature: schema_pb2.Feature) -> bool:
    """Whether an example breaks a feature's rules: its presence, type, number of values, or their domain."""
    held = example.features.feature[feature.name]
    kind = held.WhichOneof("kind")
    values = getattr(held, kind).value if kind else []
    if not values:
        return feature.presence.min_fraction > 0
    return kind != _KINDS.get(feature.type, kind) or _has_wrong_number(values, feature) or _is_outside(values, feature)


def _has_wrong_number(values: Sequence, feature: schema_pb2.Feature) -> bool:
    if feature.HasField("shape"):
        return len(values) != tf.TensorShape([dim.size for dim in feature.shape.dim]).num_elements()
    if feature.HasField("value_count"):
        most = feature.value_count.max or len(values)  # 0: no bound
        return not feature.value_count.min <= len(values) <= most
    return False


def _is_outside(values: Sequence, feature: schema_pb2.Feature) -> bool:
    for name in ("int_domain", "float_domain"):
        if feature.HasField(name):
            domain = getattr(feature, name)
            least = domain.min if domain.HasField("min") else min(values)
            most = domain.max if domain.HasField("max") else max(values)
            return not all(least <= value <= most for value in values)
    return False
