"""The drivers: what they read from outside must change the cache key when it changes."""

import json
from unittest import mock

import pytest
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import standard_artifacts

from components.caption_ingest import driver as ingest
from components.example_validator import component as validator
from components.example_validator import previous
from components.feature_extractor import driver as extractor
from components.import_schema_gen import component as schema
from components.pusher import component as pusher
from tests.material import write_data_set


def fingerprint(driver_class, **exec_properties) -> str:
    """As TFX's launcher asks for it."""
    driver = driver_class(None)
    output = driver.run(data_types.ExecutionInfo(exec_properties=exec_properties))
    return output.exec_properties["fingerprint"].string_value


def test_the_ingests_sees_new_captions(tmp_path):
    write_data_set(tmp_path, "a.jpg#0\ta dog\n")
    shares = json.dumps({"train": 0.8, "eval": 0.1, "test": 0.1})
    properties = {"data_dir": str(tmp_path), "captions": "", "limit": 0, "unlisted": "train", "split_shares": shares}
    before = fingerprint(ingest.Driver, **properties)
    assert fingerprint(ingest.Driver, **properties) == before
    write_data_set(tmp_path, "a.jpg#0\ta cat\n")
    assert fingerprint(ingest.Driver, **properties) != before


def test_the_ingests_takes_the_newest_span(tmp_path):
    for span in ("day-9", "day-10"):
        write_data_set(tmp_path / span, "a.jpg#0\ta dog\n")
    shares = json.dumps({"train": 0.8, "eval": 0.1, "test": 0.1})
    properties = {
        "data_dir": f"{tmp_path}/day-{{SPAN}}",
        "captions": "",
        "limit": 0,
        "unlisted": "train",
        "split_shares": shares,
    }
    output = ingest.Driver(None).run(data_types.ExecutionInfo(exec_properties=properties))
    assert output.exec_properties["data_dir"].string_value == str(tmp_path / "day-10")


def test_the_schema_is_found_beside_the_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a step on a cluster has another working directory
    assert fingerprint(schema.Driver, schema_file="schemas/captions.pbtxt")
    assert schema.find("/some/where") == "/some/where" and schema.find("gs://some/where") == "gs://some/where"


def test_the_ingests_says_what_is_missing(tmp_path):
    shares = json.dumps({"train": 0.8, "eval": 0.1, "test": 0.1})
    with pytest.raises(FileNotFoundError, match="no captions in"):
        fingerprint(ingest.Driver, data_dir=str(tmp_path), captions="", limit=0, unlisted="train", split_shares=shares)


def test_the_extractors_sees_other_weights_and_a_store_that_was_removed(tmp_path):
    weights = tmp_path / "w.h5"
    weights.write_bytes(b"1")
    store = str(tmp_path / "store")
    properties = {"backbone": "MobileNet", "weights": str(weights), "image_size": 0, "store_dir": store}
    before = fingerprint(extractor.Driver, **properties)
    assert fingerprint(extractor.Driver, **properties) == before
    weights.write_bytes(b"2")
    other = fingerprint(extractor.Driver, **properties)
    (tmp_path / "store").rename(tmp_path / "gone")
    assert len({before, other, fingerprint(extractor.Driver, **properties)}) == 3


def test_the_schemas_sees_another_content(tmp_path):
    file = tmp_path / "schema.pbtxt"
    file.write_text("one")
    before = fingerprint(schema.Driver, schema_file=str(file))
    file.write_text("two")
    assert fingerprint(schema.Driver, schema_file=str(file)) != before


def test_the_pushers_sees_what_is_served(tmp_path):
    destination = json.dumps({"filesystem": {"base_directory": str(tmp_path)}})
    # nothing served: never the same twice, so that the cache can't answer
    assert fingerprint(pusher.Driver, push_destination=destination) != fingerprint(
        pusher.Driver, push_destination=destination
    )
    (tmp_path / "17").mkdir()
    before = fingerprint(pusher.Driver, push_destination=destination)
    assert fingerprint(pusher.Driver, push_destination=destination) == before
    (tmp_path / "18").mkdir()
    assert fingerprint(pusher.Driver, push_destination=destination) != before


def test_the_pushers_own_code_counts_as_tfx_has_no_parameter_for_it(tmp_path, monkeypatch):
    (tmp_path / "17").mkdir()
    destination = json.dumps({"filesystem": {"base_directory": str(tmp_path)}})
    before = fingerprint(pusher.Driver, push_destination=destination)
    monkeypatch.setattr(pusher, "source_hash", lambda *modules: "other code")
    assert fingerprint(pusher.Driver, push_destination=destination) != before


def test_the_validators_finds_the_data_before_this(monkeypatch):
    asked = []
    monkeypatch.setattr(previous, "statistics_before", lambda *arguments: asked.append(arguments) or "/statistics/3")
    statistics = standard_artifacts.ExampleStatistics()
    statistics.id = 7
    info = data_types.ExecutionInfo(
        input_dict={"statistics": [statistics]},
        exec_properties={},
        pipeline_info=pipeline_pb2.PipelineInfo(id="mine"),
        pipeline_node=pipeline_pb2.PipelineNode(node_info=pipeline_pb2.NodeInfo(id="ExampleValidator")),
    )
    handle = mock.MagicMock()
    output = validator.Driver(handle).run(info)
    assert asked == [(handle.__enter__.return_value.store, "mine", "ExampleValidator", 7)]
    # both what the executor reads and what the cache goes by
    assert output.exec_properties["previous_statistics"].string_value == "/statistics/3"
    assert output.exec_properties["fingerprint"].string_value == "/statistics/3"
