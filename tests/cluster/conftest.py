"""The suite of `make test-cluster`: against a real Kubeflow Pipelines server and a real database.

Given by the environment:
  KFP_HOST           the server's address
  KUBECONFIG         of its Kubernetes, with the right to make secrets and claims in the namespace `kubeflow`
  METADATA_HOST, METADATA_PORT, METADATA_ADMIN, METADATA_ADMIN_PASSWORD
                     a MariaDB or MySQL server, and a user who may make databases and users (default: root, no password)
  POD_LOGS           where the pods' logs are kept as POD.log, if Kubernetes can't give them
  DATABASE_PAUSE     a command that stops the database for ten seconds; without it that test fails

Where a stand-in runs the steps instead of a kubelet, it has no artifacts: how the metrics reach KFP's UI is a unit
test.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import kfp
import pytest
import yaml
from captions_kubeflow.server import Server

from pipeline import sample_data
from tests.material import ROOT

NAMESPACE = "kubeflow"
MOUNT = "/captions"
SMALL = {
    "feature_extractor": {"weights": "random", "backbone": "MobileNet", "image_size": 64},
    "trainer": {"epochs": 1, "warmup": 20, "encoder_layers": 1, "decoder_layers": 1, "d_model": 32, "heads": 4}
    | {"feed_forward": 64},
    "evaluator": {"min_gain": -1.0},
}


def kubectl(*arguments: str, given: str | None = None) -> str:
    return subprocess.run(
        ["kubectl", "-n", NAMESPACE, *arguments], input=given, check=True, capture_output=True, text=True
    ).stdout


class Cluster:
    """A pipeline of its own on the server: a name, a database, a Secret, a claim, data on the volume."""

    def __init__(self, directory: pathlib.Path):
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        self.password = f"secret-{uuid.uuid4().hex}"
        self.host, self.port = os.environ["METADATA_HOST"], os.environ["METADATA_PORT"]
        self.database = self.name.replace("-", "_")
        self.sql(f"CREATE DATABASE {self.database}")
        self.sql(f"CREATE USER '{self.database}'@'%' IDENTIFIED BY '{self.password}'")
        self.sql(f"GRANT ALL ON {self.database}.* TO '{self.database}'@'%'")
        self.make_secret(self.name, self.password)
        kubectl("apply", "-f", "-", given=yaml.safe_dump(claim()))
        self.root = pathlib.Path(MOUNT) / self.name
        self.config = directory / f"{self.name}.yaml"
        self.write_config()
        self.server = Server(kfp.Client(host=os.environ["KFP_HOST"]), self.name)

    def write_config(self, secret: str | None = None, **more: object) -> None:
        database = {"host": self.host, "port": int(self.port), "name": self.database, "secret": secret or self.name}
        config = {"name": self.name, **SMALL, "kubeflow": {"database": database, **more}}
        self.config.write_text(yaml.safe_dump(config))

    def make_secret(self, name: str, password: str) -> None:
        literals = [f"--from-literal=user={self.database}", f"--from-literal=password={password}"]
        kubectl("create", "secret", "generic", name, *literals)

    def draw(self, images: int) -> None:
        """Draws data, on the volume as this machine sees it."""
        sample_data.write(self.root / "sample_data", images, seed=7)

    def sql(self, statement: str) -> str:
        user = os.environ.get("METADATA_ADMIN", "root")
        environment = {**os.environ, "MYSQL_PWD": os.environ.get("METADATA_ADMIN_PASSWORD", "")}
        command = ["mariadb", "--no-defaults", f"-u{user}", f"-h{self.host}", f"-P{self.port}", "-N", "-e", statement]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def client(self, *arguments: str, status: int = 0) -> str:
        """The command line; what it printed."""
        command = [sys.executable, "-m", "captions_kubeflow.client", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self, *params: str) -> str:
        """Starts a run; its id."""
        chosen = ["--param", *params] if params else []
        return self.client("run", "--config", str(self.config), *chosen).split()[-1]

    def wait(self, run_id: str, seconds: int = 600) -> str:
        return self.server.wait(run_id, seconds).state

    def logs(self, run_id: str, *step: str) -> str:
        kept = ["--log-dir", os.environ["POD_LOGS"]] if "POD_LOGS" in os.environ else []
        return self.client("logs", run_id, *step, *kept)

    def states(self, run_id: str) -> dict[str, list[str]]:
        """How the nodes of a run ended, from ML Metadata: node -> states, as TFX numbers them."""
        query = f"""
            SELECT node.name, execution.last_known_state FROM {self.database}.Execution execution
            JOIN {self.database}.Association in_run ON in_run.execution_id = execution.id
            JOIN {self.database}.Context run ON run.id = in_run.context_id AND run.name = '{run_id}'
            JOIN {self.database}.Association in_node ON in_node.execution_id = execution.id
            JOIN {self.database}.Context node ON node.id = in_node.context_id
            JOIN {self.database}.Type type ON type.id = node.type_id AND type.name = 'node'
            ORDER BY execution.id"""
        found: dict[str, list[str]] = {}
        for line in self.sql(query).splitlines():
            node, state = line.split("\t")
            found.setdefault(node.removeprefix(f"{self.name}."), []).append(STATES[int(state)])
        return found

    def versions(self) -> list[str]:
        return sorted(path.name for path in (self.root / "serving").glob("[0-9]*"))

    def features(self) -> int:
        indices = (self.root / "store" / "features").glob("*/shard-*.json")
        return sum(len(json.loads(index.read_text())["sha256"]) for index in indices)

    def until(self, true: object, what: str, seconds: float = 120) -> None:
        """Looks until something is so: a cluster tells no one when it is done."""
        end = time.monotonic() + seconds
        while not true():  # type: ignore[operator]
            assert time.monotonic() < end, f"{what} did not come"
            time.sleep(0.5)


STATES = {0: "unknown", 1: "new", 2: "running", 3: "complete", 4: "failed", 5: "cached", 6: "canceled"}


def claim() -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "captions"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    made.draw(60)
    yield made
    made.sql(f"DROP DATABASE {made.database}")


@pytest.fixture(scope="module")
def first(cluster) -> str:
    """The id of a first run, with a parameter of its own."""
    run_id = cluster.start("trainer.epochs=2", "evaluator.min_bleu_4=0.0")
    assert cluster.wait(run_id) == "SUCCEEDED", cluster.logs(run_id)
    return run_id
