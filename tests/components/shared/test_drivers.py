"""The drivers of the small steps: what they observe must change the cache key when it changes."""

import json

import pytest
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import standard_artifacts

from components.example_validator import driver as validator
from components.import_schema_gen import driver as schema
from components.import_schema_gen.executor import schema_path
from components.pusher import driver as pusher
from components.shared.driver import ObservingDriver
from tests.fake_mlmd import FakeMlmd


def fingerprint(driver_class, **exec_properties) -> str:
    """What a driver adds to the cache key, as TFX's launcher asks for it."""
    output = driver_class(None).run(data_types.ExecutionInfo(exec_properties=exec_properties))
    return output.exec_properties["fingerprint"].string_value


def test_what_is_observed_reaches_the_executor_and_the_cache_key():
    class Driver(ObservingDriver):
        def observe(self, execution_info):
            return {"version": f"{execution_info.exec_properties['name']} 1", "number": 2}

    info = data_types.ExecutionInfo(exec_properties={"name": "a"})
    output = Driver(None).run(info)
    assert info.exec_properties == {"name": "a", "version": "a 1", "number": 2}
    assert output.exec_properties["version"].string_value == "a 1"
    assert output.exec_properties["number"].int_value == 2


def test_the_schema_is_found_beside_the_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a step on a cluster has another working directory
    assert fingerprint(schema.Driver, schema_file="schemas/captions.pbtxt")
    assert schema_path("/some/where") == "/some/where" and schema_path("gs://some/where") == "gs://some/where"


def test_a_changed_schema_is_observed(tmp_path):
    file = tmp_path / "schema.pbtxt"
    file.write_text("one")
    before = fingerprint(schema.Driver, schema_file=str(file))
    file.write_text("two")
    assert fingerprint(schema.Driver, schema_file=str(file)) != before


@pytest.fixture
def destination(tmp_path) -> str:
    return json.dumps({"filesystem": {"base_directory": str(tmp_path)}})


def test_an_empty_serving_directory_is_never_answered_from_the_cache(destination):
    first, second = (fingerprint(pusher.Driver, push_destination=destination) for _ in range(2))
    assert first != second


def test_another_served_version_is_observed(tmp_path, destination):
    (tmp_path / "17").mkdir()
    before = fingerprint(pusher.Driver, push_destination=destination)
    assert fingerprint(pusher.Driver, push_destination=destination) == before
    (tmp_path / "18").mkdir()
    assert fingerprint(pusher.Driver, push_destination=destination) != before


@pytest.mark.parametrize("content", [b"", b"gra", bytes(5)])
def test_a_served_version_that_was_damaged_is_observed(tmp_path, destination, content):
    (tmp_path / "17").mkdir()
    (tmp_path / "17" / "saved_model.pb").write_bytes(b"graph")
    before = fingerprint(pusher.Driver, push_destination=destination)
    assert fingerprint(pusher.Driver, push_destination=destination) == before
    (tmp_path / "17" / "saved_model.pb").write_bytes(content)
    assert fingerprint(pusher.Driver, push_destination=destination) != before


def test_the_pushers_code_is_observed_since_tfx_has_no_parameter_for_it(tmp_path, destination, monkeypatch):
    (tmp_path / "17").mkdir()
    before = fingerprint(pusher.Driver, push_destination=destination)
    monkeypatch.setattr(pusher, "code_identity", lambda *modules: "other code")
    assert fingerprint(pusher.Driver, push_destination=destination) != before


def test_the_validator_observes_the_statistics_of_the_data_before():
    class Handle:
        store = FakeMlmd().store

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    statistics = standard_artifacts.ExampleStatistics()
    statistics.id = 7
    info = data_types.ExecutionInfo(
        input_dict={"statistics": [statistics]},
        exec_properties={},
        pipeline_info=pipeline_pb2.PipelineInfo(id="mine"),
        pipeline_node=pipeline_pb2.PipelineNode(node_info=pipeline_pb2.NodeInfo(id="ExampleValidator")),
    )
    validator.Driver(Handle()).run(info)
    assert info.exec_properties["previous_statistics"] == ""  # there are none so far
