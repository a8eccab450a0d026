"""The number of examples that violate the schema, which TFDV's statistics do not give for ranges and value counts.

Not by `tfdv.validate_examples_in_tfrecord`: for 2,000 examples it takes 242 s (this: 2 s), since it computes statistics
of each example alone, and it counts an example once per kind of anomaly, so that a feature's total is lost.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from components.shared.datasets import without_autotuning

_KINDS = {schema_pb2.BYTES: "bytes_list", schema_pb2.INT: "int64_list", schema_pb2.FLOAT: "float_list"}


def count_invalid(files: Sequence[str], features: Iterable[schema_pb2.Feature]) -> Counter[str]:
    """Counts the examples that violate the schema, per feature.

    Args:
      files: the paths of GZIP TFRecords of tf.Examples.
      features: features of the schema.

    Returns:
      name of a feature -> number of examples that `violates` is true of.
    """
    num_invalid: Counter[str] = Counter()
    features = list(features)
    for record in without_autotuning(tf.data.TFRecordDataset(list(files), "GZIP")).as_numpy_iterator():
        example = tf.train.Example.FromString(record)
        num_invalid.update(feature.name for feature in features if violates(example, feature))
    return num_invalid


def violates(example: tf.train.Example, feature: schema_pb2.Feature) -> bool:
    """Whether an example violates a feature's rules: presence, type, number of values, or domain."""
    value = example.features.feature[feature.name]
    kind = value.WhichOneof("kind")
    values = getattr(value, kind).value if kind else []
    if not values:
        return feature.presence.min_fraction > 0
    is_of_type = kind == _KINDS.get(feature.type, kind)
    return not is_of_type or _has_wrong_count(values, feature) or _is_out_of_domain(values, feature)


def _has_wrong_count(values: Sequence, feature: schema_pb2.Feature) -> bool:
    if feature.HasField("shape"):
        return len(values) != tf.TensorShape([dim.size for dim in feature.shape.dim]).num_elements()
    if feature.HasField("value_count"):
        maximum = feature.value_count.max or len(values)  # 0: no maximum
        return not feature.value_count.min <= len(values) <= maximum
    return False


def _is_out_of_domain(values: Sequence, feature: schema_pb2.Feature) -> bool:
    for name in ("int_domain", "float_domain"):
        if feature.HasField(name):
            domain = getattr(feature, name)
            minimum = domain.min if domain.HasField("min") else min(values)
            maximum = domain.max if domain.HasField("max") else max(values)
            return not all(minimum <= value <= maximum for value in values)
    return False
