import json
import pathlib

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from tfx.dsl.compiler import compiler
from tfx.proto.orchestration import pipeline_pb2
from tfx.utils import dependency_utils

from pipeline import pipeline
from pipeline.config_files import load
from pipeline.pipeline import create_pipeline
from pipeline.runner import compile_pipeline, steps_of
from tests.factories import RESOLVER, STEPS


def compiled(*overrides: str) -> pipeline_pb2.Pipeline:
    return compiler.Compiler().compile(create_pipeline(load(None, ["root=/nowhere", *overrides])))


def nodes_of(*overrides: str) -> dict[str, pipeline_pb2.PipelineNode]:
    return {node.pipeline_node.node_info.id: node.pipeline_node for node in compiled(*overrides).nodes}


@pytest.fixture(scope="module")
def nodes():
    return nodes_of()


def test_the_steps_are_these(nodes):
    assert set(nodes) == {*STEPS, RESOLVER}


@pytest.mark.parametrize(
    ("node", "upstream"),
    [
        ("StatisticsGen", {"CaptionIngest"}),
        ("ExampleValidator", {"CaptionIngest", "StatisticsGen", "ImportSchemaGen"}),
        ("Transform", {"CaptionIngest", "ImportSchemaGen", "ExampleValidator"}),
        ("FeatureExtractor", {"CaptionIngest", "ExampleValidator"}),
        ("Trainer", {"Transform", "FeatureExtractor"}),
        ("Exporter", {"Transform", "FeatureExtractor", "Trainer"}),
        ("BleuEvaluator", {"CaptionIngest", "FeatureExtractor", "Exporter", "LatestBlessedModel"}),
        ("Pusher", {"Exporter", "BleuEvaluator"}),
        ("Report", {"CaptionIngest", "FeatureExtractor", "Trainer", "Exporter", "BleuEvaluator", "Pusher"}),
    ],
)
def test_what_waits_for_what(nodes, node, upstream):
    assert set(nodes[node].upstream_nodes) == upstream


def fed_by(node: pipeline_pb2.PipelineNode, name: str) -> set[tuple[str, str]]:
    """(step, output) of all that an input comes from."""
    inputs = node.inputs.inputs
    parts = [name, *inputs[name].mixed_inputs.input_keys] if name in inputs else []  # those of a union
    channels = [channel for part in parts for channel in inputs[part].channels]
    return {(channel.producer_node_query.id, channel.output_key) for channel in channels}


def test_the_last_blessed_model_is_what_training_starts_from_where_it_is_asked_to(nodes):
    assert fed_by(nodes["Trainer"], "base_model") == set()
    warm = nodes_of("trainer.warm_start=last_blessed", "trainer.comparison_models=[gru]")
    for trainer in ("Trainer", "Trainer_gru"):
        assert fed_by(warm[trainer], "base_model") == {("LatestBlessedModel", "model")}


def value_of(node: pipeline_pb2.PipelineNode, name: str) -> str:
    return node.parameters.parameters[name].field_value.string_value


def test_comparison_models_are_trained_exported_and_compared_with_the_first(nodes):
    assert fed_by(nodes["BleuEvaluator"], "comparison_models") == set()
    assert fed_by(nodes["Report"], "comparison_model_runs") == set()
    three = nodes_of("trainer.comparison_models=[gru, {name: gru, units: 64}]")
    assert set(three) - set(nodes) == {"Trainer_gru", "Exporter_gru", "Trainer_gru_2", "Exporter_gru_2"}
    for trainer, label in (("Trainer", "transformer"), ("Trainer_gru", "gru"), ("Trainer_gru_2", "gru_2")):
        assert value_of(three[trainer], "label") == label
    units = [
        json.loads(value_of(three[f"Trainer_{label}"], "settings"))["model"]["units"] for label in ("gru", "gru_2")
    ]
    assert units == [512, 64]
    for node in ("BleuEvaluator", "Pusher", "Report"):
        assert fed_by(three[node], "model") == {("Exporter", "model")}
    assert fed_by(three["Exporter_gru"], "weights") == {("Trainer_gru", "weights")}
    exporters = {("Exporter_gru", "model"), ("Exporter_gru_2", "model")}
    assert fed_by(three["BleuEvaluator"], "comparison_models") == exporters
    assert fed_by(three["Report"], "model_run") == {("Trainer", "model_run")}
    runs = {("Trainer_gru", "model_run"), ("Trainer_gru_2", "model_run")}
    assert fed_by(three["Report"], "comparison_model_runs") == runs


def test_a_comparison_model_changes_nothing_of_the_first_training(nodes):
    both = nodes_of("trainer.comparison_models=[gru]")
    assert both["Trainer"].parameters == nodes["Trainer"].parameters


def test_it_is_a_pure_function():
    assert compiled() == compiled()
    assert not pathlib.Path("/nowhere").exists()


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("data.max_images=5", {"CaptionIngest"}),
        ("data.dir=/data", {"CaptionIngest"}),
        ("tokenizer.max_length_quantile=0.5", {"Transform"}),
        ("tokenizer.keep_digits=false", {"Transform", "Exporter", "BleuEvaluator"}),
        ("tokenizer.unit=word", {"Transform", "Exporter", "BleuEvaluator"}),
        ("feature_extractor.backbone=MobileNet", {"FeatureExtractor"}),
        ("trainer.epochs=2", {"Trainer"}),
        ("trainer.model.num_heads=8", {"Trainer"}),
        ("trainer.optimizer.warmup_steps=8", {"Trainer"}),
        ("decoding.beam_size=5", {"Exporter"}),
        ("decoding.length_penalty=0", {"Exporter"}),
        ("data.on_drift=fail", {"ExampleValidator"}),
        ("trainer.seed=5", {"Trainer"}),
        ("evaluator.min_bleu_4_improvement=0.1", {"BleuEvaluator"}),
        ("evaluator.max_regression={cider: 0.1}", {"BleuEvaluator"}),
    ],
)
def test_a_setting_reaches_the_execution_properties_of_its_step_alone(nodes, override, changed):
    others = nodes_of(override)
    assert {node for node in nodes if nodes[node].parameters != others[node].parameters} == changed


def test_other_code_of_the_tokenizer_is_another_transform(nodes, monkeypatch):
    monkeypatch.setattr(pipeline, "code_identity", lambda *modules: "other code")
    others = nodes_of()
    assert {node for node in nodes if nodes[node].parameters != others[node].parameters} == {"Transform"}
    config = others["Transform"].parameters.parameters["custom_config"].field_value.string_value
    assert json.loads(config)["code"] == "other code"


def test_the_cache_and_beams_arguments_come_from_the_config():
    for node in compiled("cache=false").nodes:
        assert not node.pipeline_node.execution_options.caching_options.enable_cache
    made = create_pipeline(load(None, ["root=/nowhere", "beam.pipeline_args=[--runner=X]"]))
    assert made.beam_pipeline_args[-1] == "--runner=X"


def test_an_unknown_node_is_refused_with_the_known_ones():
    made = create_pipeline(load(None, ["root=/nowhere"]))
    with pytest.raises(ValueError, match=r"--from Trainr: no such step; the steps are CaptionIngest, .*Trainer"):
        compile_pipeline(made, "run", from_node="Trainr")
    with pytest.raises(ValueError, match=r"--to LatestBlessedModel: no such step"):
        compile_pipeline(made, "run", to_node="LatestBlessedModel")


def test_a_part_runs_what_lies_between_and_always_the_resolver(tmp_path):
    made = create_pipeline(load(None, [f"root={tmp_path}"]))
    ir = compile_pipeline(made, "run", to_node="StatisticsGen")
    running = [n.pipeline_node.node_info.id for n in ir.nodes if not n.pipeline_node.execution_options.HasField("skip")]
    assert running == ["CaptionIngest", "StatisticsGen"]
    assert [step.id for step in steps_of(ir)][-1] == "Report"


def test_no_step_between_two_is_said(tmp_path):
    made = create_pipeline(load(None, [f"root={tmp_path}"]))
    with pytest.raises(ValueError, match="--from Pusher --to CaptionIngest: no step lies between them"):
        compile_pipeline(made, "run", from_node="Pusher", to_node="CaptionIngest")


def test_beam_runs_in_this_process_unless_told_otherwise(tmp_path):
    def runner(*overrides: str) -> object:
        args = create_pipeline(load(None, [f"root={tmp_path}", *overrides])).beam_pipeline_args
        return type(beam.Pipeline(options=PipelineOptions(args)).runner).__name__

    assert runner() == "FnApiRunner"
    assert runner("beam.pipeline_args=[--runner=PortableRunner]") == "PortableRunner"


def test_a_start_in_the_middle_wants_an_earlier_run(tmp_path):
    made = create_pipeline(load(None, [f"root={tmp_path}"]))
    with pytest.raises(ValueError, match=r"--from Trainer: no earlier run has completed .*FeatureExtractor"):
        compile_pipeline(made, "run", from_node="Trainer")


def test_tfx_packs_itself_up_for_workers_elsewhere_alone(monkeypatch):
    packed = []
    monkeypatch.setattr(dependency_utils, "build_ephemeral_package", lambda: packed.append(1) or "tfx.tar.gz")

    def args(*overrides: str) -> list[str]:
        return create_pipeline(load(None, ["root=/nowhere", *overrides])).beam_pipeline_args

    dependency_utils.make_beam_dependency_flags(args("beam.pipeline_args=[--direct_num_workers=2]"))
    assert not packed
    assert args("beam.pipeline_args=[--runner=SparkRunner]") == ["--runner=SparkRunner"]
    dependency_utils.make_beam_dependency_flags(args("beam.pipeline_args=[--runner=SparkRunner]"))
    assert packed
