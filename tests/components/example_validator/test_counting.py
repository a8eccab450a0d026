import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.example_validator.counting import count_invalid, violates


def example(**values) -> tf.train.Example:
    message = tf.train.Example()
    for name, of_feature in values.items():
        kind = {int: "int64_list", bytes: "bytes_list", float: "float_list"}[type(of_feature[0])]
        getattr(message.features.feature[name], kind).value.extend(of_feature)
    return message


def feature(rules: str) -> schema_pb2.Feature:
    return text_format.Parse(f'name: "x" {rules}', schema_pb2.Feature())


@pytest.mark.parametrize(
    ("rules", "valid", "invalid"),
    [
        ("type: INT presence { min_fraction: 1.0 }", [[1]], [[]]),
        ("type: INT", [[1], [1, 2], []], [[b"1"], [1.0]]),
        ("value_count { max: 1 }", [[1], [b"a"]], [[1, 2]]),
        ("type: BYTES shape { }", [[b"a"]], [[b"a", b"b"]]),
        ("type: BYTES shape { dim { size: 2 } }", [[b"a", b"b"]], [[b"a"]]),
        ("type: BYTES value_count { min: 2 max: 3 }", [[b"a"] * 2, [b"a"] * 3], [[b"a"], [b"a"] * 4]),
        ("type: BYTES value_count { min: 2 }", [[b"a"] * 9], [[b"a"]]),
        ("type: INT int_domain { min: 8 max: 10 }", [[8, 10]], [[7], [9, 11]]),
        ("type: INT int_domain { min: 8 }", [[99]], [[9, 7]]),
        ("type: INT int_domain { max: 8 }", [[-99]], [[9]]),
        ("type: FLOAT float_domain { min: 0 max: 1 }", [[0.5]], [[1.5]]),
    ],
)
def test_each_rule_is_checked(rules, valid, invalid):
    def is_invalid(values):
        return violates(example(x=values) if values else example(), feature(rules))

    assert not any(map(is_invalid, valid)) and all(map(is_invalid, invalid))


def test_invalid_examples_are_counted_per_feature(tmp_path):
    path = str(tmp_path / "examples.gz")
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for x, y in ((1, 1), (9, 1), (9, 9), (1, 1)):
            writer.write(example(x=[x], y=[y]).SerializeToString())
    features = [feature("type: INT int_domain { max: 8 }") for _ in range(2)]
    features[1].name = "y"
    assert count_invalid([path], features) == {"x": 2, "y": 1}
