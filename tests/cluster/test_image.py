"""The whole pipeline once in containers of the image."""

import os

import pytest

from tests.cluster.conftest import PARAMETERS, STEPS, made_cluster


@pytest.fixture(scope="module")
def in_containers(tmp_path_factory):
    yield from made_cluster(tmp_path_factory.mktemp("image"), os.environ["CLUSTER_IMAGE"])


def test_the_pipeline_runs_in_the_image_as_a_user_that_is_not_root(in_containers):
    run_id = in_containers.start(*PARAMETERS)
    assert in_containers.wait(run_id) == "SUCCEEDED", in_containers.logs(run_id)
    assert in_containers.states(run_id) == {step: ["complete"] for step in STEPS}
    [version] = in_containers.versions()
    written = in_containers.root / "serving" / version / "saved_model.pb"
    assert written.stat().st_uid != 0
