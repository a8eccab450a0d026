import pytest
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.types import standard_artifacts

from components.example_validator.previous import statistics_before


@pytest.fixture
def store() -> MetadataStore:
    return MetadataStore(metadata_store_pb2.ConnectionConfig(fake_database=metadata_store_pb2.FakeDatabaseConfig()))


@pytest.fixture
def made(store, tmp_path):
    """Makes an artifact of a pipeline; its id."""

    def make(uri="", pipeline="mine", artifact_type=standard_artifacts.ExampleStatistics, state="LIVE") -> int:
        artifact = artifact_type()
        artifact.type_id = store.put_artifact_type(artifact.artifact_type)
        artifact.uri = str(tmp_path / uri) if uri else str(tmp_path)
        artifact.mlmd_artifact.state = metadata_store_pb2.Artifact.State.Value(state)
        [number] = store.put_artifacts([artifact.mlmd_artifact])
        type_id = store.put_context_type(metadata_store_pb2.ContextType(name="pipeline"))
        context = store.get_context_by_type_and_name("pipeline", pipeline)
        context_id = (
            context.id
            if context
            else store.put_contexts([metadata_store_pb2.Context(type_id=type_id, name=pipeline)])[0]
        )
        attribution = metadata_store_pb2.Attribution(artifact_id=number, context_id=context_id)
        store.put_attributions_and_associations([attribution], [])
        return number

    return make


def test_the_last_ones_before_are_taken(store, made, tmp_path):
    for name in ("one", "two", "three", "four"):
        (tmp_path / name).mkdir()
    made("one")
    made("two")
    made("three", pipeline="another")
    third = made("three")
    assert statistics_before(store, "mine", third) == str(tmp_path / "two")
    made("four")
    assert statistics_before(store, "mine", third) == str(tmp_path / "two")  # cached again: the same answer


def test_what_is_gone_or_something_else_is_passed_over(store, made, tmp_path):
    (tmp_path / "one").mkdir()
    first = made("one")
    made("removed")
    made("one", state="DELETED")
    made("one", artifact_type=standard_artifacts.ExampleAnomalies)
    last = made("one")
    assert statistics_before(store, "mine", last) == str(tmp_path / "one")
    assert statistics_before(store, "mine", first) == ""
    assert statistics_before(store, "unknown", last) == ""
