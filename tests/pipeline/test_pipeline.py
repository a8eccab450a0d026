import json
import pathlib

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from tfx.dsl.compiler import compiler
from tfx.proto.orchestration import pipeline_pb2
from tfx.utils import dependency_utils

from pipeline import pipeline
from pipeline.config import load
from pipeline.pipeline import create_pipeline
from pipeline.runner import compile_pipeline, steps_of


def compiled(*overrides: str) -> pipeline_pb2.Pipeline:
    return compiler.Compiler().compile(create_pipeline(load(None, ["root=/nowhere", *overrides])))


def nodes_of(*overrides: str) -> dict[str, pipeline_pb2.PipelineNode]:
    return {node.pipeline_node.node_info.id: node.pipeline_node for node in compiled(*overrides).nodes}


@pytest.fixture(scope="module")
def nodes():
    return nodes_of()


def test_the_steps_are_these(nodes):
    assert set(nodes) == {
        "CaptionIngest",
        "StatisticsGen",
        "ImportSchemaGen",
        "ExampleValidator",
        "Transform",
        "FeatureExtractor",
        "Trainer",
        "LatestBlessedModel",
        "BleuEvaluator",
        "Pusher",
        "Report",
    }


@pytest.mark.parametrize(
    ("node", "upstream"),
    [
        ("StatisticsGen", {"CaptionIngest"}),
        ("ExampleValidator", {"CaptionIngest", "StatisticsGen", "ImportSchemaGen"}),
        ("Transform", {"CaptionIngest", "ImportSchemaGen", "ExampleValidator"}),
        ("FeatureExtractor", {"CaptionIngest", "ExampleValidator"}),
        ("Trainer", {"Transform", "FeatureExtractor"}),
        ("BleuEvaluator", {"CaptionIngest", "FeatureExtractor", "Trainer", "LatestBlessedModel"}),
        ("Pusher", {"Trainer", "BleuEvaluator"}),
        ("Report", {"CaptionIngest", "FeatureExtractor", "Trainer", "BleuEvaluator", "Pusher"}),
    ],
)
def test_what_waits_for_what(nodes, node, upstream):
    assert set(nodes[node].upstream_nodes) == upstream


def fed_by(node: pipeline_pb2.PipelineNode, name: str) -> set[tuple[str, str]]:
    """(step, output) of all that an input comes from."""
    channels = node.inputs.inputs[name].channels if name in node.inputs.inputs else ()
    return {(channel.producer_node_query.id, channel.output_key) for channel in channels}


def test_the_last_blessed_model_is_what_training_starts_from_where_it_is_asked_to(nodes):
    assert fed_by(nodes["Trainer"], "base_model") == set()
    warm = nodes_of("trainer.warm_start=last_blessed", "trainer.models=[transformer, attention]")
    for trainer in ("Trainer", "AttentionTrainer"):
        assert fed_by(warm[trainer], "base_model") == {("LatestBlessedModel", "model")}


def test_the_second_model_is_trained_too_and_set_beside_the_first(nodes):
    assert fed_by(nodes["BleuEvaluator"], "other_models") == fed_by(nodes["Report"], "other_model_runs") == set()
    both = nodes_of("trainer.models=[transformer, attention]")
    assert set(both) - set(nodes) == {"AttentionTrainer"}
    for trainer, model in (("Trainer", "transformer"), ("AttentionTrainer", "attention")):
        assert both[trainer].parameters.parameters["model_name"].field_value.string_value == model
    for node in ("BleuEvaluator", "Pusher", "Report"):
        assert fed_by(both[node], "model") == {("Trainer", "model")}
    assert fed_by(both["BleuEvaluator"], "other_models") == {("AttentionTrainer", "model")}
    assert fed_by(both["Report"], "model_run") == {("Trainer", "model_run")}
    assert fed_by(both["Report"], "other_model_runs") == {("AttentionTrainer", "model_run")}


def test_it_is_a_pure_function():
    assert compiled() == compiled()
    assert not pathlib.Path("/nowhere").exists()


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("data.limit=5", {"CaptionIngest"}),
        ("data.dir=/data", {"CaptionIngest"}),
        ("tokenizer.coverage=0.5", {"Transform"}),
        ("feature_extractor.backbone=MobileNet", {"FeatureExtractor"}),
        ("trainer.epochs=2", {"Trainer"}),
        ("trainer.heads=8", {"Trainer"}),
        ("trainer.seed=5", {"Trainer"}),
        ("evaluator.min_gain=0.1", {"BleuEvaluator"}),
        ("evaluator.max_loss={cider: 0.1}", {"BleuEvaluator"}),
    ],
)
def test_a_setting_reaches_the_execution_properties_of_its_step_alone(nodes, override, changed):
    others = nodes_of(override)
    assert {node for node in nodes if nodes[node].parameters != others[node].parameters} == changed


def test_other_code_of_the_tokenizer_is_another_transform(nodes, monkeypatch):
    monkeypatch.setattr(pipeline, "source_hash", lambda *modules: "other code")
    others = nodes_of()
    assert {node for node in nodes if nodes[node].parameters != others[node].parameters} == {"Transform"}
    config = others["Transform"].parameters.parameters["custom_config"].field_value.string_value
    assert json.loads(config)["source"] == "other code"


def test_the_cache_and_beams_arguments_come_from_the_config():
    for node in compiled("cache=false").nodes:
        assert not node.pipeline_node.execution_options.caching_options.enable_cache
    made = create_pipeline(load(None, ["root=/nowhere", "beam.args=[--runner=X]"]))
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
    assert runner("beam.args=[--runner=PortableRunner]") == "PortableRunner"


def test_a_start_in_the_middle_wants_an_earlier_run(tmp_path):
    made = create_pipeline(load(None, [f"root={tmp_path}"]))
    with pytest.raises(ValueError, match=r"--from Trainer: no earlier run has finished .*FeatureExtractor"):
        compile_pipeline(made, "run", from_node="Trainer")


def test_tfx_packs_itself_up_for_workers_elsewhere_alone(monkeypatch):
    packed = []
    monkeypatch.setattr(dependency_utils, "build_ephemeral_package", lambda: packed.append(1) or "tfx.tar.gz")

    def args(*overrides: str) -> list[str]:
        return create_pipeline(load(None, ["root=/nowhere", *overrides])).beam_pipeline_args

    dependency_utils.make_beam_dependency_flags(args("beam.args=[--direct_num_workers=2]"))
    assert not packed
    assert args("beam.args=[--runner=SparkRunner]") == ["--runner=SparkRunner"]
    dependency_utils.make_beam_dependency_flags(args("beam.args=[--runner=SparkRunner]"))
    assert packed
