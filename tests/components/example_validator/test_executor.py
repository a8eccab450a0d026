import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from components.example_validator.executor import InvalidData, check
from tests.material import ROOT


@pytest.fixture(scope="module")
def schema():
    return text_format.Parse((ROOT / "schemas" / "captions.pbtxt").read_text(), schema_pb2.Schema())


GOOD = {
    "image_id": [b"a.jpg"],
    "image_uri": [b"images/a.jpg"],
    "sha256": [b"0" * 64],
    "width": [40],
    "height": [30],
    "captions": [b"a dog", b"the dog"],
}


def anomalies(schema, **changes):
    """What TFDV finds in one example."""
    frame = {name: values for name, values in (GOOD | changes).items() if values is not None}
    statistics = tfdv.generate_statistics_from_dataframe(pd.DataFrame({k: [v] for k, v in frame.items()}), n_jobs=1)
    return tfdv.validate_statistics(statistics, schema)


def test_good_data_passes(schema):
    check({"train": anomalies(schema), "eval": anomalies(schema)})


@pytest.mark.parametrize(
    "changes",
    [{"captions": None}, {"width": [3]}, {"height": [30, 31]}, {"sha256": [5]}, {"captions": [b"a dog"] * 101}],
    ids=["missing", "out of range", "two of one", "wrong type", "too many"],
)
def test_bad_data_stops_with_split_and_feature(schema, changes):
    with pytest.raises(InvalidData, match=rf"test: {next(iter(changes))}: "):
        check({"train": anomalies(schema), "test": anomalies(schema, **changes)})


def test_warnings_pass():
    info = anomalies_pb2.AnomalyInfo(severity=anomalies_pb2.AnomalyInfo.WARNING, description="odd")
    check({"train": anomalies_pb2.Anomalies(anomaly_info={"captions": info})})
