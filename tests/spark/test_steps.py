"""The Beam steps on a real Spark cluster: `make test-spark`."""

import dataclasses
import hashlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import yaml
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import Pipeline

from components.feature_extractor import extract
from components.feature_extractor.settings import FeatureExtractorSettings
from components.feature_extractor.store import FeatureStore
from components.shared import scenes
from components.shared.features import Manifest
from components.shared.images.ingested import IngestedImage
from pipeline.paths import Paths
from spark import cluster
from tests.factories import ROOT
from tests.spark.runs import DEBUG, OVERLAY, WORKERS, assert_equal, features_in

BEAM_ARGS = yaml.safe_load(OVERLAY.read_text())["beam"]["pipeline_args"]


@pytest.fixture(scope="module", autouse=True)
def spark():
    cluster.down()  # a running one may have been started with other code
    try:
        cluster.up()
        yield
    finally:
        cluster.down()
    assert not cluster.executors()


def run(root: pathlib.Path, *configs: pathlib.Path, to: str = "Trainer") -> None:
    options = [argument for config in configs for argument in ("--config", str(config))]
    command = [sys.executable, "local_runner.py", "run", "--root", str(root), "--to", to, *options]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr


def features_of(root: pathlib.Path) -> dict[str, np.ndarray]:
    """sha256 -> feature, of the images of a root's only run."""
    [path] = pathlib.Path(Paths(str(root)).artifacts).glob("FeatureExtractor/features/*/manifest.json")
    manifest = Manifest.load(str(path.parent))
    return features_in(manifest)


def test_all_beam_steps_run_on_both_executors_with_the_same_features_as_locally(tmp_path):
    run(tmp_path / "spark", DEBUG, OVERLAY)
    assert {worker for (worker, _), (_, finished) in cluster.tasks().items() if finished} == WORKERS
    run(tmp_path / "local", DEBUG, to="FeatureExtractor")
    assert_equal(features_of(tmp_path / "spark"), features_of(tmp_path / "local"))


def test_an_executor_that_is_killed_costs_no_feature(tmp_path):
    settings = FeatureExtractorSettings("MobileNet", "random", 64)
    wanted = {}
    for index in range(400):
        data = scenes.jpeg(1, index)
        path = tmp_path / f"{index}.jpg"
        path.write_bytes(data)
        wanted[path.name] = IngestedImage(str(path), hashlib.sha256(data).hexdigest())
    found = []
    kill = Kill(after=cluster.last_application())
    for name, arguments in (("spark", BEAM_ARGS), ("here", ["--direct_num_workers=1"])):
        store = FeatureStore(str(tmp_path / name))
        grid, channels = store.prepare_backbone(settings)
        killer = threading.Thread(target=kill.wait_and_do, args=[store])
        if name == "spark":
            killer.start()
        extract.extract_missing(
            wanted, store, 8, lambda arguments=arguments: Pipeline(options=PipelineOptions(arguments))
        )
        if name == "spark":
            killer.join()
        found.append(features_in(Manifest("f", store.directory, grid, channels, extract.shards_of(wanted, store))))
    assert kill.executor, "both executors were never busy at the same time"
    assert 0 < kill.committed < len(wanted)
    assert f"Lost executor {kill.executor} " in (cluster.HOME / "run" / "job-server.log").read_text(errors="replace")
    done = cluster.tasks(cluster.last_application())
    assert {worker for (worker, _), (started, _) in done.items() if started} == WORKERS
    assert_equal(*found)


@dataclasses.dataclass
class Kill:
    """Kills an executor in the middle of a job.

    Attributes:
      after: id of the job before that one.
      executor: id of the killed executor.
      committed: number of features in the store at that moment.
    """

    after: str
    executor: str = ""
    committed: int = 0

    def wait_and_do(self, store: FeatureStore) -> None:
        """Waits until all executors are busy and a shard is committed, and kills one."""
        end = time.monotonic() + 300
        while time.monotonic() < end and not self.executor:
            time.sleep(0.1)
            application = cluster.last_application()
            tasks = cluster.tasks(application) if application > self.after else {}
            busy = [number for (_, number), (started, finished) in tasks.items() if started > finished]
            running, committed = cluster.executors(), len(store.index())
            if committed and len(busy) == cluster.WORKERS and busy[0] in running:
                os.kill(running[busy[0]], signal.SIGKILL)
                self.executor, self.committed = busy[0], committed
