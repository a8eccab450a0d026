"""The pipeline for Vertex AI. The service can't be had here: what is checked is the file that it takes."""

import json

import pytest
from captions_kubeflow import vertex

from pipeline.config import ConfigError, load


def test_the_job_holds_all_steps_the_image_and_the_root(tmp_path):
    path = tmp_path / "p.json"
    vertex.compile_to(load(None, ["root=gs://bucket/captions", "kubeflow.image=r/i:7", "name=mine"]), str(path))
    job = json.loads(path.read_text())
    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/captions/artifacts"
    spec = job["pipelineSpec"]
    assert spec["pipelineInfo"]["name"] == "mine"
    steps = {"CaptionIngest", "FeatureExtractor", "Transform", "Trainer", "BleuEvaluator", "Pusher"}
    assert steps <= set(spec["root"]["dag"]["tasks"])
    images = {
        each["container"]["image"] for each in spec["deploymentSpec"]["executors"].values() if "container" in each
    }
    assert images == {"r/i:7"}


@pytest.mark.parametrize("overrides", [[], ["root=/captions/x"], ["root=s3://bucket/x"]])
def test_a_root_that_its_steps_do_not_share_is_refused(tmp_path, overrides):
    path = tmp_path / "p.json"
    with pytest.raises(ConfigError, match=r"root=gs://BUCKET/NAME"):
        vertex.compile_to(load(None, overrides), str(path))
    assert not path.exists()
