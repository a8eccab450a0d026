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


@pytest.fixture(scope="module")
def nodes():
    return {node.pipeline_node.node_info.id: node.pipeline_node for node in compiled().nodes}


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
    others = {node.pipeline_node.node_info.id: node.pipeline_node for node in compiled(override).nodes}
    assert {node for node in nodes if nodes[node].parameters != others[node].parameters} == changed


def test_other_code_of_the_tokenizer_is_another_transform(nodes, monkeypatch):
    monkeypatch.setattr(pipeline, "source_hash", lambda *modules: "other code")
    others = {node.pipeline_node.node_info.id: node.pipeline_node for node in compiled().nodes}
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
