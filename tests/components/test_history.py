import json

import pytest
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from components import history, records


class Past:
    """ML Metadata in memory, with executions that put out one artifact each."""

    def __init__(self):
        self.store = MetadataStore(mlmd.ConnectionConfig(fake_database=mlmd.FakeDatabaseConfig()))
        self.type_id = self.store.put_execution_type(mlmd.ExecutionType(name="Step"))
        self.contexts = {
            name: self.store.put_context_type(mlmd.ContextType(name=name)) for name in ("node", "pipeline_run")
        }

    def artifact(self, type_name: str = "Model", **properties) -> int:
        made = mlmd.Artifact(uri=f"/{type_name}", state=mlmd.Artifact.LIVE)
        made.type_id = self.store.put_artifact_type(mlmd.ArtifactType(name=type_name))
        for name, value in properties.items():
            field = "int_value" if isinstance(value, int) else "string_value"
            setattr(made.custom_properties[name], field, value)
        return self.store.put_artifacts([made])[0]

    def execute(self, node: str, inputs: dict[str, int], outputs: dict[str, int], run: str = "r1", **properties) -> int:
        execution = mlmd.Execution(type_id=self.type_id)
        for name, value in properties.items():
            execution.custom_properties[name].string_value = value
        events = []
        for kind, ports in ((mlmd.Event.INPUT, inputs), (mlmd.Event.OUTPUT, outputs)):
            for key, artifact in ports.items():
                event = mlmd.Event(artifact_id=artifact, type=kind)
                event.path.steps.add().key = key
                [known] = self.store.get_artifacts_by_id([artifact])
                events.append((known, event))
        contexts = []
        for kind, name in (("node", f"mine.{node}"), ("pipeline_run", run)):
            known = self.store.get_context_by_type_and_name(kind, name)
            contexts.append(known or mlmd.Context(type_id=self.contexts[kind], name=name))
        return self.store.put_execution(execution, events, contexts)[0]


@pytest.fixture
def past() -> Past:
    return Past()


def test_the_ancestry_is_all_that_an_artifact_was_made_from(past):
    examples, features, model, other = (past.artifact(name) for name in ("Examples", "Features", "Model", "Model"))
    ingest = past.execute("Ingest", {}, {"examples": examples}, fingerprint="data")
    extractor = past.execute("Extractor", {"examples": examples}, {"features": features})
    past.execute("Trainer", {"features": features}, {"model": other})
    trainer = past.execute("Trainer", {"features": features, "examples": examples}, {"model": model}, commit="0abc")
    past.execute("Ingest", {}, {"examples": examples}, run="r2")  # from the cache
    found = history.ancestry(past.store, [model])
    assert [step["execution"] for step in found] == [ingest, extractor, trainer]
    assert [(step["node"], step["run"]) for step in found] == [("Ingest", "r1"), ("Extractor", "r1"), ("Trainer", "r1")]
    assert found[0]["parameters"] == {"fingerprint": "data"} and found[0]["commit"] is None
    assert found[2]["parameters"] == {} and found[2]["commit"] == "0abc"
    assert found[2]["inputs"]["features"] == [{"id": features, "type": "Features", "uri": "/Features"}]
    assert found[2]["outputs"] == {"model": [{"id": model, "type": "Model", "uri": "/Model"}]}
    assert json.loads(json.dumps(found)) == found


def test_what_nothing_made_has_no_ancestry(past):
    assert history.ancestry(past.store, [past.artifact()]) == []


@pytest.mark.parametrize(
    ("find", "type_name"), [(history.evaluation_of, "ModelEvaluation"), (history.report_of, records.Report.TYPE_NAME)]
)
def test_the_latest_about_a_model_that_says_something_counts(past, find, type_name):
    assert find(past.store, 7) is None
    past.artifact(type_name, candidate_id=7, decision="refused")
    second = past.artifact(type_name, candidate_id=7, decision="blessed")
    past.artifact(type_name, candidate_id=8, decision="blessed")
    past.artifact(type_name, candidate_id=7, decision="unchanged")
    assert find(past.store, 7).id == second
