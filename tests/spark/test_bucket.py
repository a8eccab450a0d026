"""The Beam steps on a Spark cluster that shares no path with the run: data, artifacts and features are in a bucket."""

import collections
import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from components.shared import node_cache, storage
from components.shared.features import Manifest
from pipeline import sample_data
from pipeline.paths import Paths
from spark import cluster
from tests.factories import ROOT
from tests.spark import separate_machine
from tests.spark.runs import DEBUG, OVERLAY, WORKERS, assert_equal, features_in

NUM_IMAGES, SEED = 60, 7
STAGED = cluster.HOME / "run" / "artifacts"  # files that Beam's job server keeps for workers


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> pathlib.Path:
    """The directory on the machine of the runs that they write to: what is not in the bucket."""
    return tmp_path_factory.mktemp("machine")


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> pathlib.Path:
    """The directory that each worker takes for the only one that it may write to."""
    return tmp_path_factory.mktemp("worker")


@pytest.fixture(scope="module")
def wrapper(machine, own) -> list[str]:
    """The command that starts the workers' processes elsewhere."""
    return separate_machine.wrapper(own, [machine, STAGED])


@pytest.fixture(scope="module")
def spark(s3, wrapper, own):
    cluster.down()
    try:
        cluster.up(wrapper, separate_machine.environment(own, s3))
        yield
    finally:
        cluster.down()
    assert not cluster.executors()


def run(machine: pathlib.Path, *arguments: str) -> None:
    """Runs the pipeline to the end of the extraction."""
    (machine / "tmp").mkdir(exist_ok=True)
    command = [sys.executable, str(ROOT / "local_runner.py"), "run", "--config", str(DEBUG), "--to", "FeatureExtractor"]
    places = {"TMPDIR": str(machine / "tmp"), "HOME": str(machine), "CAPTION_PIPELINE_CACHE": str(machine / "cache")}
    process = subprocess.run(
        [*command, *arguments], cwd=machine, env={**os.environ, **places}, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr


def artifact(root: str, step: str, output: str) -> str:
    """A copy on this disk of the only artifact of an output."""
    directory = os.path.join(Paths(root).artifacts, step, output)
    [execution] = storage.list_names(directory)
    return node_cache.tree(os.path.join(directory, execution))


def examples_of(root: str) -> dict[str, list[bytes]]:
    """File -> its records."""
    directory = pathlib.Path(artifact(root, "CaptionIngest", "examples"))
    files = {path.name: tf.data.TFRecordDataset(str(path), "GZIP") for path in directory.glob("*/*.gz")}
    return {name: [record.numpy() for record in records] for name, records in files.items()}


def test_a_worker_sees_nothing_of_the_run_and_cannot_write_where_it_does(wrapper, machine, own):
    (machine / "file").write_text("of the run")
    look = f"ls -A {machine}; touch {machine}/other {own}/file; ls {own}"
    process = subprocess.run([*wrapper, "sh", "-c", look], capture_output=True, text=True, check=False)
    assert process.stdout.split() == ["cache", "file", "home", "spark", "tmp"]
    assert "Read-only file system" in process.stderr
    assert os.listdir(machine) == ["file"]
    assert not os.listdir(own)


@pytest.mark.usefixtures("spark")
def test_workers_that_share_no_path_read_and_write_the_bucket(s3, bucket, machine):
    data, local = machine / "data", machine / "local"
    sample_data.ensure(data, NUM_IMAGES, SEED)
    storage.copy_tree(str(data), f"{bucket}/data")
    places = [f"data.dir={bucket}/data", f"feature_extractor.store_dir={bucket}/store"]
    metadata = f"metadata=sqlite:///{machine}/metadata.sqlite"
    earlier = cluster.last_application()

    with separate_machine.Observer([machine, STAGED]) as observer:
        run(machine, "--config", str(OVERLAY), "--root", f"{bucket}/run", "--set", metadata, *places)

    num_seen = collections.Counter(kind for kind, _ in observer.seen)
    assert min(num_seen["executor"], num_seen["python"]) >= cluster.WORKERS
    assert not set().union(*observer.seen.values())
    assert cluster.last_application() > earlier
    done = cluster.tasks(cluster.last_application())  # of the extraction
    assert {worker for (worker, _), (_, finished) in done.items() if finished} == WORKERS
    assert s3["AWS_SECRET_ACCESS_KEY"] not in (cluster.HOME / "run" / "job-server.log").read_text(errors="replace")

    run(machine, "--root", str(local), "--set", f"data.dir={data}")
    assert examples_of(f"{bucket}/run") == examples_of(str(local))
    features, expected = (
        features_in(Manifest.load(artifact(root, "FeatureExtractor", "features")))
        for root in (f"{bucket}/run", str(local))
    )
    assert len(features) == NUM_IMAGES
    assert_equal(features, expected)
