"""What docs/engines.md and the overlays tell users to pass to Beam."""

import re

import pytest
import yaml
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.config import ConfigError, to_dict
from pipeline.config_files import load
from pipeline.pipeline import create_pipeline
from tests.factories import ROOT

SAMPLE, SPARK = ROOT / "pipeline" / "configs" / "sample.yaml", ROOT / "pipeline" / "configs" / "overlays" / "spark.yaml"
DOCUMENTED = re.findall(r"^ +- (--\S+)", (ROOT / "docs" / "engines.md").read_text(), re.MULTILINE)
OF_ENGINES = ("--parallelism",)  # Flink's, which its job server tells the Python side about


@pytest.mark.parametrize("argument", sorted({*DOCUMENTED, *load(SPARK).beam.pipeline_args}))
def test_beam_knows_every_argument(argument):
    assert argument.startswith(OF_ENGINES) or PipelineOptions([argument]).get_all_options(drop_default=True)


def beam_args(node, *overrides):
    pipeline = create_pipeline(load([SAMPLE, SPARK], ["root=/nowhere", *overrides]))
    [component] = [each for each in pipeline.components if each.id == node]
    return component.executor_spec.beam_pipeline_args


def test_an_overlay_reaches_every_beam_step():
    for node in ("CaptionIngest", "StatisticsGen", "Transform", "FeatureExtractor"):
        assert beam_args(node) == yaml.safe_load(SPARK.read_text())["beam"]["pipeline_args"]


def test_arguments_of_a_step_come_after_those_of_all():
    override = "beam.step_args={FeatureExtractor: [--runner=X]}"
    assert beam_args("FeatureExtractor", override) == [*beam_args("CaptionIngest"), "--runner=X"]
    assert beam_args("CaptionIngest", override) == beam_args("CaptionIngest")


def test_a_step_that_does_not_use_beam_is_refused_with_those_that_do():
    with pytest.raises(ConfigError, match=r"beam.step_args.Trainer.*'CaptionIngest', 'StatisticsGen'"):
        load(None, ["beam.step_args={Trainer: [--runner=X]}"])


def test_a_later_file_wins_and_leaves_the_rest(tmp_path):
    (tmp_path / "one.yaml").write_text("trainer: {epochs: 3, batch_size: 8}\nname: one")
    (tmp_path / "two.yaml").write_text("trainer: {epochs: 5}")
    settings = to_dict(load([tmp_path / "one.yaml", str(tmp_path / "two.yaml")]))
    assert (settings["name"], settings["trainer"]["epochs"], settings["trainer"]["batch_size"]) == ("one", 5, 8)
