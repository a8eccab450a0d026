"""What docs/engines.md and the overlays tell users to pass to Beam."""

import json
import re

import apache_beam as beam
import pytest
import yaml
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

from components.feature_extractor.executor import Executor
from components.feature_extractor.extract import ExtractShards
from components.feature_extractor.store import FeatureStore
from components.shared.images.ingested import IngestedImage
from pipeline.config import ConfigError, to_dict
from pipeline.config_files import load
from pipeline.pipeline import LOCAL_BEAM, create_pipeline
from tests.factories import ROOT

SAMPLE, SPARK = ROOT / "pipeline" / "configs" / "sample.yaml", ROOT / "pipeline" / "configs" / "overlays" / "spark.yaml"
GUIDE = (ROOT / "docs" / "engines.md").read_text()
DOCUMENTED = re.findall(r"^ +- (--\S+)", GUIDE, re.MULTILINE)
OF_ENGINES = ("--parallelism",)  # Flink's, which its job server tells the Python side about


@pytest.mark.parametrize("argument", sorted({*DOCUMENTED, *load(SPARK).beam.pipeline_args}))
def test_beam_knows_every_argument(argument):
    assert argument.startswith(OF_ENGINES) or PipelineOptions([argument]).get_all_options(drop_default=True)


def beam_args(node, *overrides):
    pipeline = create_pipeline(load([SAMPLE, SPARK], ["root=/nowhere", *overrides]))
    [component] = [each for each in pipeline.components if each.id == node]
    return component.executor_spec.beam_pipeline_args


@pytest.fixture
def dataflow_args(tmp_path):
    """Beam's options of the extractor with the documented settings for Dataflow."""
    settings = tmp_path / "dataflow.yaml"
    [text] = re.findall(r"```yaml\n(# dataflow.yaml\n.*?)```", GUIDE, re.DOTALL)
    settings.write_text(text)
    pipeline = create_pipeline(load([SAMPLE, settings]))
    components = {component.id: component for component in pipeline.components}
    assert set(components["Transform"].executor_spec.beam_pipeline_args) == set(LOCAL_BEAM)
    return components["FeatureExtractor"].executor_spec.beam_pipeline_args


def test_dataflow_accepts_the_documented_options(dataflow_args):
    assert PipelineOptionsValidator(PipelineOptions(dataflow_args), DataflowRunner()).validate() == []


def test_the_job_for_dataflow_has_what_the_documented_options_ask_for(dataflow_args, tmp_path):
    # a template is written where others would be submitted; nothing leaves this machine
    locations = [f"--{name}_location={tmp_path}" for name in ("temp", "staging")]
    unsent = [
        *locations,
        f"--template_location={tmp_path}/job.json",
        "--no_auth",
        "--dataflow_endpoint=http://localhost",
    ]
    context = Executor.Context(beam_pipeline_args=[*dataflow_args, *unsent], tmp_dir=str(tmp_path), unique_id="1")
    pipeline = Executor(context).make_beam_pipeline()  # as TFX does, with its labels
    images = [IngestedImage("gs://my-bucket/data/1.jpg", "0" * 64)]
    extract = ExtractShards(FeatureStore("gs://my-bucket/captions/store/features/1"), 8, frozenset())
    _ = pipeline | beam.Create([images], reshuffle=True) | beam.ParDo(extract)
    pipeline.run()

    environment = json.loads((tmp_path / "job.json").read_text())["environment"]
    [workers] = environment["workerPools"]
    [harness] = workers["sdkHarnessContainerImages"]
    options = dict(argument.removeprefix("--").split("=", 1) for argument in dataflow_args)
    assert harness["containerImage"] == workers["workerHarnessContainerImage"] == options["sdk_container_image"]
    assert workers["machineType"] == options["worker_machine_type"]
    assert workers["diskSizeGb"] == int(options["disk_size_gb"])
    assert workers["numThreadsPerWorker"] == int(options["number_of_worker_harness_threads"])
    assert workers["autoscalingSettings"]["maxNumWorkers"] == int(options["max_num_workers"])
    assert options["experiments"] in environment["experiments"]
    assert not [path.name for path in tmp_path.iterdir() if path.suffix in (".gz", ".whl")], "packages for the workers"


def test_worker_images_are_for_the_pinned_versions():
    sets = re.findall(r"`?(?:apache/)?beam_python([\d.]+)_sdk:([\d.]+).*?(tfx-[\w.-]+\.txt)", GUIDE, re.DOTALL)
    assert len(sets) == len(list((ROOT / "constraints").glob("*.txt")))
    for python, version, constraints in sets:
        assert f"apache-beam=={version}\n" in (ROOT / "constraints" / constraints).read_text()
        assert constraints.endswith(f"py{python.replace('.', '')}.txt")


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
