"""The pipeline for Vertex AI. The service is not available in tests: they check the file that it accepts."""

import json

import pytest
from captions_kubeflow import vertex

from pipeline.config import ConfigError
from pipeline.config_files import load
from pipeline.errors import UserError


def test_the_job_contains_all_steps_the_image_and_the_root(tmp_path):
    path = tmp_path / "p.json"
    vertex.compile_to(load(None, ["root=gs://bucket/captions", "kubeflow.image=r/i:7", "name=mine"]), str(path))
    job = json.loads(path.read_text())
    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/captions/artifacts"
    spec = job["pipelineSpec"]
    assert spec["pipelineInfo"]["name"] == "mine"
    steps = {"CaptionIngest", "FeatureExtractor", "Transform", "Trainer", "Exporter", "BleuEvaluator", "Pusher"}
    assert steps <= set(spec["root"]["dag"]["tasks"])
    images = {
        executor["container"]["image"]
        for executor in spec["deploymentSpec"]["executors"].values()
        if "container" in executor
    }
    assert images == {"r/i:7"}


@pytest.mark.parametrize("overrides", [[], ["root=/captions/x"], ["root=s3://bucket/x"]])
def test_a_root_that_its_steps_do_not_share_is_rejected(tmp_path, overrides):
    path = tmp_path / "p.json"
    with pytest.raises(ConfigError, match=r"root=gs://BUCKET/NAME"):
        vertex.compile_to(load(None, overrides), str(path))
    assert not path.exists()


def test_a_file_or_a_name_that_vertex_does_not_take_is_rejected(tmp_path):
    config = load(None, ["root=gs://bucket/captions"])
    with pytest.raises(UserError, match=r"p\.yaml: must end with \.json"):
        vertex.compile_to(config, str(tmp_path / "p.yaml"))
    with pytest.raises(UserError, match=r"nowhere is not a directory"):
        vertex.compile_to(config, str(tmp_path / "nowhere" / "p.json"))
    with pytest.raises(UserError, match=r"Vertex AI can't run it: .* is illegal"):
        vertex.compile_to(load(None, ["root=gs://bucket/captions", "name=My.Captions_2"]), str(tmp_path / "p.json"))
    assert not list(tmp_path.iterdir())
