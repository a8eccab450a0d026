import base64
import gzip
import importlib
import pathlib
import shutil
import types

import pytest
from captions_kubeflow import compiler, graph
from captions_kubeflow.parameters import ParameterError
from google.protobuf import json_format
from tfx.proto.orchestration import pipeline_pb2

from pipeline.config_files import load


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
    values = {}
    for name, value in nodes_of(ir)[node].parameters.parameters.items():
        if value.HasField("field_value"):
            values[name] = getattr(value.field_value, value.field_value.WhichOneof("value"))
    return values


def test_a_graph_survives_serialization(ir):
    text = graph.to_text(ir)
    assert text.isascii() and not set(text) & set(" \n\"'{}")
    assert json_format.MessageToDict(graph.from_text(text)) == json_format.MessageToDict(ir)  # bytes hide maps


def test_the_same_graph_is_the_same_text(ir, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 0.0)  # gzip would record it
    other = pipeline_pb2.Pipeline()
    other.ParseFromString(ir.SerializeToString())  # its maps are in an order of their own
    first = graph.to_text(ir)
    monkeypatch.setattr("time.time", lambda: 86400.0)
    assert graph.to_text(other) == first


def test_the_text_is_small(ir):
    # it is an argument of each step's command, and Linux allows 128 KiB for one
    assert len(graph.to_text(ir)) < 32 * 1024


def test_a_graph_of_different_code_is_rejected_with_what_to_do(ir, monkeypatch):
    text = graph.to_text(ir)
    compiled_from = text.partition(":")[0]
    monkeypatch.setattr(graph, "code_hash", lambda: "123")
    with pytest.raises(graph.CodeMismatch, match=f"from code {compiled_from}, but the image contains code 123: build"):
        graph.from_text(text)


def test_a_text_without_a_hash_is_rejected():
    packed = base64.b64encode(gzip.compress(b"{}")).decode()
    with pytest.raises(graph.CodeMismatch):
        graph.from_text(packed)


@pytest.mark.parametrize(
    ("node", "names"),
    [
        ("CaptionIngest", {"data_dir", "data_max_images", "data_max_reject_fraction"}),
        ("FeatureExtractor", {"feature_extractor_backbone", "feature_extractor_weights"}),
        ("Trainer", {"trainer_epochs"}),
        ("BleuEvaluator", {"evaluator_min_bleu_4", "evaluator_min_bleu_4_improvement"}),
        ("Exporter", set()),
        ("Transform", set()),
        ("LatestBlessedModel", set()),
    ],
)
def test_a_node_uses_its_own_parameters(ir, node, names):
    assert graph.used_parameters(nodes_of(ir)[node]) == names


def test_a_runs_parameters_become_execution_properties(ir):
    texts = {"trainer_epochs": "3", "data_dir": "/captions/data/7", "evaluator_min_bleu_4_improvement": "-0.5"}
    graph.bind(ir, "run-1", texts)
    assert properties(ir, "Trainer")["epochs"] == 3
    assert properties(ir, "CaptionIngest")["dir"] == "/captions/data/7"
    assert properties(ir, "BleuEvaluator")["min_bleu_4_improvement"] == -0.5


def test_a_missing_parameter_keeps_its_default(ir):
    graph.bind(ir, "run-1", {"data_max_images": "5"})
    ingest = properties(ir, "CaptionIngest")
    assert (ingest["max_images"], ingest["dir"], ingest["max_reject_fraction"]) == (5, "/captions/x/sample_data", 0.01)
    assert properties(ir, "Trainer")["epochs"] == 26
    assert properties(ir, "BleuEvaluator")["min_bleu_4_improvement"] == 0.0  # TFX itself drops a default of 0
    assert not any(graph.used_parameters(node) for node in nodes_of(ir).values())


def test_an_integer_may_come_with_a_decimal_point(ir):
    graph.bind(ir, "run-1", {"trainer_epochs": "3.0"})
    epochs = nodes_of(ir)["Trainer"].parameters.parameters["epochs"].field_value
    assert (epochs.WhichOneof("value"), epochs.int_value) == ("int_value", 3)


def test_the_run_is_known_by_its_id(ir):
    graph.bind(ir, "run-1", {})
    assert ir.runtime_spec.pipeline_run_id.field_value.string_value == "run-1"
    for node in nodes_of(ir).values():
        assert "run-1" in [context.name.field_value.string_value for context in node.contexts.contexts]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"trainer_epoch": "3"}, "unknown parameter trainer_epoch; the parameters are data_dir, .*trainer_epochs"),
        ({"trainer_epochs": "three"}, "trainer_epochs: 'three' is not of type int"),
        ({"trainer_epochs": "3.5"}, "trainer_epochs: '3.5' is not of type int"),
        ({"data_max_images": ""}, "data_max_images: '' is not of type int"),
        ({"evaluator_min_bleu_4_improvement": "much"}, "evaluator_min_bleu_4_improvement: 'much' is not of type float"),
    ],
)
def test_invalid_parameters_are_rejected(ir, texts, message):
    with pytest.raises(ParameterError, match=message):
        graph.bind(ir, "run-1", texts)


def test_the_graph_contains_no_database(ir):
    text = str(ir)
    assert "sqlite" not in text and "mysql" not in text
    assert not pathlib.Path("/captions/x").exists()


@pytest.fixture
def copied_code(tmp_path, monkeypatch) -> pathlib.Path:
    """A copy of the code that is hashed in place of this one."""
    directories = {}
    for package in graph.PACKAGES:
        [source] = importlib.import_module(package).__path__
        directories[package] = tmp_path / package
        shutil.copytree(source, directories[package], ignore=shutil.ignore_patterns("__pycache__"))
    packages = {name: types.SimpleNamespace(__path__=[str(path)]) for name, path in directories.items()}
    monkeypatch.setattr(graph, "importlib", types.SimpleNamespace(import_module=packages.__getitem__))
    return tmp_path


clear_cached_hash = graph.code_hash.cache_clear  # found here, since a test replaces the function


def hash_now() -> str:
    clear_cached_hash()
    return graph.code_hash()


@pytest.fixture(autouse=True)
def uncached_hash():
    yield
    clear_cached_hash()


@pytest.mark.parametrize(
    "file",
    [
        "components/trainer/executor.py",
        "components/shared/models/transformer.py",
        "components/exporter/settings.py",
        "pipeline/runner.py",
        "captions_kubeflow/run_node.py",
    ],
)
def test_changed_code_changes_the_hash_and_a_comment_does_not(copied_code, file):
    before = hash_now()
    path = copied_code / file
    source = path.read_text()
    path.write_text(f"# a comment\n{source}\n\n# another one\n")
    assert hash_now() == before
    path.write_text(f"{source}\n_CHANGED = True\n")
    assert hash_now() != before


def test_the_hash_covers_new_modules_and_files_beside_them(copied_code):
    before = hash_now()
    (copied_code / "components" / "trainer" / "new_module.py").write_text("")
    with_module = hash_now()
    with (copied_code / "components" / "report" / "report.css").open("a") as file:
        file.write("p {}")
    assert len({before, with_module, hash_now()}) == 3


def test_the_hash_does_not_depend_on_the_place(copied_code, monkeypatch):
    copy = hash_now()
    monkeypatch.undo()
    assert hash_now() == copy


def test_the_hash_covers_the_schema(tmp_path, monkeypatch):
    before = hash_now()
    (tmp_path / "other.pbtxt").write_text("other")
    monkeypatch.setattr(graph, "schema_path", lambda schema: str(tmp_path / "other.pbtxt"))
    assert hash_now() != before
