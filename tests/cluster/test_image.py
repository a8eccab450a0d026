"""One run of the pipeline in containers of the image."""

import os
import pathlib

import pytest

from tests.cluster.conftest import NODES, PARAMETERS, temporary_cluster


@pytest.fixture(scope="module")
def container_cluster(tmp_path_factory):
    yield from temporary_cluster(tmp_path_factory.mktemp("image"), os.environ["CLUSTER_IMAGE"])


def test_the_pipeline_runs_in_the_image_as_a_user_other_than_root(container_cluster):
    run_id = container_cluster.start(*PARAMETERS)
    assert container_cluster.wait(run_id) == "SUCCEEDED", container_cluster.logs(run_id)
    assert container_cluster.states(run_id) == {step: ["complete"] for step in NODES}
    [version] = container_cluster.versions()
    model = pathlib.Path(container_cluster.paths.serving) / version / "saved_model.pb"
    assert model.stat().st_uid != 0
