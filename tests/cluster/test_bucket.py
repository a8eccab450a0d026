"""Runs whose steps share a bucket and no volume."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from components.shared import storage
from pipeline import sample_data
from pipeline.paths import Paths
from tests.cluster.conftest import DEBUG, MOUNT, NODES, PARAMETERS, Cluster, kubectl, temporary_cluster
from tests.factories import ROOT, STEPS


@pytest.fixture
def cluster(tmp_path, s3, bucket) -> Iterator[Cluster]:
    """A pipeline with its data and its root in a bucket, and the credentials in a Secret."""
    image = os.environ.get("STEP_IMAGE") or os.environ["CLUSTER_IMAGE"]
    for cluster in temporary_cluster(tmp_path, image, num_images=0):
        sample_data.ensure(f"{bucket}/data", 60, seed=7)
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        secret = f"{cluster.name}-storage"
        kubectl("create", "secret", "generic", secret, *(f"--from-literal={key}={s3[key]}" for key in keys))
        cluster.write_config(
            top={"root": f"{bucket}/captions", "data": {**DEBUG["data"], "dir": f"{bucket}/data"}},
            pvc_name=None,
            storage_secret=secret,
            environment={name: value for name, value in s3.items() if name not in keys},
        )
        yield cluster
        kubectl("delete", "secret", secret)


def test_a_bucket_is_enough(cluster, bucket, s3, tmp_path):
    compiled = tmp_path / "pipeline.yaml"
    cluster.client("compile", "--config", str(cluster.config), "--output", str(compiled))
    text = compiled.read_text()
    assert "pvcMount" not in text and MOUNT not in text and s3["AWS_SECRET_ACCESS_KEY"] not in text

    first = cluster.start(*PARAMETERS)
    assert cluster.wait(first) == "SUCCEEDED", cluster.logs(first)
    assert cluster.states(first) == {step: ["complete"] for step in NODES}
    [version] = storage.list_names(Paths(f"{bucket}/captions").serving)
    assert storage.exists(f"{bucket}/captions/serving/{version}/saved_model.pb")
    assert not (pathlib.Path(MOUNT) / cluster.name).exists()

    second = cluster.start(*PARAMETERS)
    assert cluster.wait(second) == "SUCCEEDED", cluster.logs(second)
    assert cluster.states(second)["Trainer"] == cluster.states(second)["FeatureExtractor"] == ["cached"]

    commands_see_what_the_cluster_made(cluster, bucket, version)


def commands_see_what_the_cluster_made(cluster: Cluster, bucket: str, version: str) -> None:
    """Runs the local commands on the cluster's bucket and database."""
    database = f"mysql://{cluster.host}:{cluster.port}/{cluster.database}"
    environment = {**os.environ, "METADATA_USER": cluster.database, "METADATA_PASSWORD": cluster.password}

    def run(*arguments: str) -> str:
        options = ["--config", str(cluster.config), "--set", f"metadata={database}"]
        command = [sys.executable, "local_runner.py", *arguments, *options]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "Runs of" in run("compare")
    assert STEPS[0] in run("lineage", f"{bucket}/captions/serving/{version}")
    assert "images" in run("stats")
