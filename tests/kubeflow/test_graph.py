import base64
import gzip
import pathlib

import pytest
from captions_kubeflow import compiler, graph
from captions_kubeflow.parameters import ParameterError
from google.protobuf import json_format
from tfx.proto.orchestration import pipeline_pb2

from pipeline.config import load


@pytest.fixture(scope="module")
def compiled() -> pipeline_pb2.Pipeline:
    return compiler.compile_graph(load(None, ["root=/captions/x"]))[0]


@pytest.fixture
def ir(compiled) -> pipeline_pb2.Pipeline:
    """A copy that a test may change."""
    copy = pipeline_pb2.Pipeline()
    copy.CopyFrom(compiled)
    return copy


def nodes_of(ir: pipeline_pb2.Pipeline) -> dict[str, pipeline_pb2.PipelineNode]:
    return {node.pipeline_node.node_info.id: node.pipeline_node for node in ir.nodes}


def properties(ir: pipeline_pb2.Pipeline, node: str) -> dict[str, object]:
    """The execution properties that have a value."""
    found = {}
    for name, value in nodes_of(ir)[node].parameters.parameters.items():
        if value.HasField("field_value"):
            found[name] = getattr(value.field_value, value.field_value.WhichOneof("value"))
    return found


def test_what_is_read_is_what_was_written(ir):
    text = graph.to_text(ir)
    assert text.isascii() and not set(text) & set(" \n\"'{}")
    assert json_format.MessageToDict(graph.from_text(text)) == json_format.MessageToDict(ir)  # bytes hide maps


def test_the_same_graph_is_the_same_text(ir, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 0.0)  # which gzip would note
    other = pipeline_pb2.Pipeline()
    other.ParseFromString(ir.SerializeToString())  # its maps are in an order of their own
    first = graph.to_text(ir)
    monkeypatch.setattr("time.time", lambda: 86400.0)
    assert graph.to_text(other) == first


def test_the_text_is_small(ir):
    # it is an argument of each step's command, and Linux takes 128 KiB for one
    assert len(graph.to_text(ir)) < 32 * 1024


def test_a_graph_of_other_code_is_refused_with_what_to_do(ir, monkeypatch):
    text = graph.to_text(ir)
    here = text.partition(":")[0]
    monkeypatch.setattr(graph, "code_hash", lambda: "other code")
    with pytest.raises(graph.OtherCode, match=rf"from code {here}, and this image holds code other code: build the"):
        graph.from_text(text)


def test_what_is_no_graph_is_refused_as_other_code():
    packed = base64.b64encode(gzip.compress(b"{}")).decode()
    with pytest.raises(graph.OtherCode):
        graph.from_text(packed)


def test_the_hash_covers_all_packages_that_a_step_may_run(monkeypatch):
    seen = []
    monkeypatch.setattr(graph, "source_hash", lambda *packages: seen.extend(packages) or "hash")
    assert len(graph.code_hash()) == 16
    for package in ("components", "components.trainer", "components.bleu_evaluator", "pipeline", "captions_kubeflow"):
        assert package in seen


@pytest.mark.parametrize(
    ("node", "names"),
    [
        ("CaptionIngest", {"data_dir", "data_limit", "data_max_reject_fraction"}),
        ("FeatureExtractor", {"feature_extractor_backbone", "feature_extractor_weights"}),
        ("Trainer", {"trainer_epochs"}),
        ("BleuEvaluator", {"evaluator_min_bleu_4", "evaluator_min_gain"}),
        ("Transform", set()),
        ("LatestBlessedModel", set()),
    ],
)
def test_a_node_needs_its_own_parameters(ir, node, names):
    assert graph.used_parameters(nodes_of(ir)[node]) == names


def test_a_runs_parameters_become_execution_properties(ir):
    given = {"trainer_epochs": "3", "data_dir": "/captions/data/7", "evaluator_min_gain": "-0.5"}
    graph.bind(ir, "run-1", given)
    assert properties(ir, "Trainer")["epochs"] == 3
    assert properties(ir, "CaptionIngest")["data_dir"] == "/captions/data/7"
    assert properties(ir, "BleuEvaluator")["min_gain"] == -0.5


def test_what_is_not_given_keeps_its_default(ir):
    graph.bind(ir, "run-1", {"data_limit": "5"})
    ingest = properties(ir, "CaptionIngest")
    assert (ingest["limit"], ingest["data_dir"], ingest["max_reject_fraction"]) == (5, "/captions/x/sample_data", 0.01)
    assert properties(ir, "Trainer")["epochs"] == 26
    assert properties(ir, "BleuEvaluator")["min_gain"] == 0.0  # TFX itself forgets a default of 0
    assert not any(graph.used_parameters(node) for node in nodes_of(ir).values())


def test_a_whole_number_may_come_as_a_fraction(ir):
    graph.bind(ir, "run-1", {"trainer_epochs": "3.0"})
    epochs = nodes_of(ir)["Trainer"].parameters.parameters["epochs"].field_value
    assert (epochs.WhichOneof("value"), epochs.int_value) == ("int_value", 3)


def test_the_run_is_known_by_its_id(ir):
    graph.bind(ir, "run-1", {})
    assert ir.runtime_spec.pipeline_run_id.field_value.string_value == "run-1"
    for node in nodes_of(ir).values():
        assert "run-1" in [context.name.field_value.string_value for context in node.contexts.contexts]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trainer_epoch": "3"}, "no parameter trainer_epoch; there are data_dir, .*trainer_epochs"),
        ({"trainer_epochs": "three"}, "trainer_epochs: 'three' is not of type int"),
        ({"trainer_epochs": "3.5"}, "trainer_epochs: '3.5' is not of type int"),
        ({"data_limit": ""}, "data_limit: '' is not of type int"),
        ({"evaluator_min_gain": "much"}, "evaluator_min_gain: 'much' is not of type float"),
    ],
)
def test_what_is_no_parameter_is_refused(ir, given, message):
    with pytest.raises(ParameterError, match=message):
        graph.bind(ir, "run-1", given)


def test_the_graph_holds_no_database(ir):
    text = str(ir)
    assert "sqlite" not in text and "mysql" not in text
    assert not pathlib.Path("/captions/x").exists()


def test_the_hash_covers_the_schema(tmp_path, monkeypatch):
    before = graph.code_hash()
    (tmp_path / "other.pbtxt").write_text("other")
    monkeypatch.setattr(graph.import_schema_gen, "find", lambda schema: str(tmp_path / "other.pbtxt"))
    assert graph.code_hash() != before
