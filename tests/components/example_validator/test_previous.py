import pytest
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.types import standard_artifacts

from components.example_validator.previous import statistics_before

Event, Execution = metadata_store_pb2.Event, metadata_store_pb2.Execution
NODE = "Validator"


@pytest.fixture
def store() -> MetadataStore:
    return MetadataStore(metadata_store_pb2.ConnectionConfig(fake_database=metadata_store_pb2.FakeDatabaseConfig()))


@pytest.fixture
def made(store, tmp_path):
    """Makes statistics, in a directory of their own; their id."""

    def make(name: str, state: str = "LIVE") -> int:
        (tmp_path / name).mkdir(exist_ok=True)
        artifact = standard_artifacts.ExampleStatistics()
        artifact.type_id = store.put_artifact_type(artifact.artifact_type)
        artifact.uri = str(tmp_path / name)
        artifact.mlmd_artifact.state = metadata_store_pb2.Artifact.State.Value(state)
        return store.put_artifacts([artifact.mlmd_artifact])[0]

    return make


@pytest.fixture
def validated(store):
    """Notes that a validator has read some statistics, and how it ended, as TFX does."""

    def note(statistics_id: int, state: str = "COMPLETE", pipeline: str = "mine", key: str = "statistics") -> None:
        type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name=NODE))
        [execution] = store.put_executions([Execution(type_id=type_id, last_known_state=Execution.State.Value(state))])
        node_type = store.put_context_type(metadata_store_pb2.ContextType(name="node"))
        context = store.get_context_by_type_and_name("node", f"{pipeline}.{NODE}")
        context_id = (
            context.id
            if context
            else store.put_contexts([metadata_store_pb2.Context(type_id=node_type, name=f"{pipeline}.{NODE}")])[0]
        )
        association = metadata_store_pb2.Association(execution_id=execution, context_id=context_id)
        store.put_attributions_and_associations([], [association])
        path = Event.Path(steps=[Event.Path.Step(key=key)])
        store.put_events([Event(artifact_id=statistics_id, execution_id=execution, type=Event.INPUT, path=path)])

    return note


@pytest.fixture
def before(store, tmp_path):
    """The name of the statistics that come before some others."""

    def find(statistics_id: int, pipeline: str = "mine") -> str:
        return statistics_before(store, pipeline, NODE, statistics_id).removeprefix(f"{tmp_path}/")

    return find


def test_the_last_other_data_is_taken(made, validated, before):
    one, two, three = map(made, ("one", "two", "three"))
    assert before(one) == ""
    validated(one)
    validated(two)
    validated(three, pipeline="another")
    assert before(three) == "two"
    validated(three)
    validated(three, state="CACHED")
    assert before(three) == "two"  # again: the same answer, which the cache goes by


def test_what_was_refused_or_not_validated_is_no_baseline(made, validated, before):
    one, refused, unread, now = map(made, ("one", "refused", "unread", "now"))
    validated(one)
    validated(refused, state="FAILED")
    validated(refused, state="RUNNING")
    assert before(now) == "one"
    validated(unread, key="schema")
    assert before(now) == "one"


def test_data_that_comes_back_is_compared_with_what_came_between(made, validated, before):
    a, b = made("a"), made("b")
    validated(a)
    validated(b)
    assert before(a) == "b"
    validated(a)
    validated(a, state="CACHED")
    assert before(a) == "b"
    assert before(b) == "a"


def test_what_is_gone_is_passed_over(made, validated, before, tmp_path):
    for name, state in (("one", "LIVE"), ("removed", "LIVE"), ("deleted", "DELETED")):
        validated(made(name, state))
    (tmp_path / "removed").rmdir()
    now = made("now")
    assert before(now) == "one"
    assert before(now, pipeline="unknown") == ""
