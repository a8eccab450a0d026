"""The suite of `make test-cluster`: against a real Kubeflow Pipelines server and a real database.

Given by the environment:
  KFP_HOST           the server's address
  KUBECONFIG         of its Kubernetes, with the right to make secrets and claims in the namespace `kubeflow`
  METADATA_HOST, METADATA_PORT, METADATA_ADMIN, METADATA_ADMIN_PASSWORD
                     a MariaDB or MySQL server, and a user who may make databases and users (default: root, no password)
  CLUSTER_IMAGE      the image of kubeflow/Dockerfile, as the cluster's nodes know it; built from this code
  STEP_IMAGE         the image of all tests but the image's own (default: CLUSTER_IMAGE); a node without containers may
                     take another name as the order to run the steps as processes
  POD_LOGS           where the pods' logs are kept as POD.log, if Kubernetes can't give them
  KILL_TRAINER       a command that kills the Trainer of the run $RUN_ID, which runs in the pod $POD, with SIGKILL
  DATABASE_PAUSE     a command that stops the database for ten seconds

The claim `captions` must be mounted at /captions here, too: the tests draw the data there and look at what was pushed.

Against a stand-in for the kubelet, as the gate has it, some things are not seen: it knows no artifacts (how the metrics
reach KFP's UI is a unit test), no limits, no security contexts (the API server checks them, see test_manifests), and it
gives no logs (POD_LOGS).
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
from captions_kubeflow.logs import pods_of
from captions_kubeflow.server import Server
from ml_metadata.proto import metadata_store_pb2

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
STEPS = {
    "CaptionIngest",
    "StatisticsGen",
    "ImportSchemaGen",
    "ExampleValidator",
    "Transform",
    "FeatureExtractor",
    "Trainer",
    "LatestBlessedModel",
    "BleuEvaluator",
    "Pusher",
    "Report",
}
PARAMETERS = ("trainer.epochs=2", "evaluator.min_bleu_4=0.0")


def kubectl(*arguments: str, given: str | None = None) -> str:
    return subprocess.run(
        ["kubectl", "-n", NAMESPACE, *arguments], input=given, check=True, capture_output=True, text=True
    ).stdout


class Cluster:
    """A pipeline of its own on the server: a name, a database, a Secret, a claim, data on the volume."""

    def __init__(self, directory: pathlib.Path, image: str):
        self.image = image
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        self.password = f"secret-{uuid.uuid4().hex}"
        self.host, self.port = os.environ["METADATA_HOST"], os.environ["METADATA_PORT"]
        self.database = self.name.replace("-", "_")
        self.sql(f"CREATE DATABASE {self.database}")
        self.sql(f"CREATE USER '{self.database}'@'%' IDENTIFIED BY '{self.password}'")
        self.sql(f"GRANT ALL ON {self.database}.* TO '{self.database}'@'%'")
        self.make_secret(self.name, self.password)
        if not kubectl("get", "persistentvolumeclaim", "captions", "--ignore-not-found", "-o", "name"):
            kubectl("apply", "-f", "-", given=yaml.safe_dump(claim()))
        self.root = pathlib.Path(MOUNT) / self.name
        self.config = directory / f"{self.name}.yaml"
        self.write_config()
        self.server = Server(kfp.Client(host=os.environ["KFP_HOST"]), self.name)

    def write_config(self, secret: str | None = None, **more: object) -> None:
        database = {"host": self.host, "port": int(self.port), "name": self.database, "secret": secret or self.name}
        config = {"name": self.name, **SMALL, "kubeflow": {"image": self.image, "database": database, **more}}
        self.config.write_text(yaml.safe_dump(config))

    def make_secret(self, name: str, password: str) -> None:
        literals = [f"--from-literal=user={self.database}", f"--from-literal=password={password}"]
        kubectl("create", "secret", "generic", name, *literals)

    def draw(self, images: int) -> None:
        """Draws data, on the volume as this machine sees it; the steps may be another user."""
        sample_data.write(self.root / "sample_data", images, seed=7)
        self.root.chmod(0o777)

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

    def wait(self, run_id: str, seconds: int = 1800) -> str:
        return self.server.wait(run_id, seconds).state

    def logs(self, run_id: str, *step: str) -> str:
        kept = ["--log-dir", os.environ["POD_LOGS"]] if "POD_LOGS" in os.environ else []
        return self.client("logs", run_id, *step, *kept)

    def executions(self, run_id: str) -> dict[str, list[tuple[int, str]]]:
        """The executions of a run's nodes, from ML Metadata: node -> (id, state)."""
        query = f"""
            SELECT node.name, execution.id, execution.last_known_state FROM {self.database}.Execution execution
            JOIN {self.database}.Association in_run ON in_run.execution_id = execution.id
            JOIN {self.database}.Context run ON run.id = in_run.context_id AND run.name = '{run_id}'
            JOIN {self.database}.Association in_node ON in_node.execution_id = execution.id
            JOIN {self.database}.Context node ON node.id = in_node.context_id
            JOIN {self.database}.Type type ON type.id = node.type_id AND type.name = 'node'
            ORDER BY execution.id"""
        found: dict[str, list[tuple[int, str]]] = {}
        for line in self.sql(query).splitlines():
            node, number, state = line.split("\t")
            name = metadata_store_pb2.Execution.State.Name(int(state)).lower()
            found.setdefault(node.removeprefix(f"{self.name}."), []).append((int(number), name))
        return found

    def states(self, run_id: str) -> dict[str, list[str]]:
        """How the nodes of a run ended: node -> state of each execution."""
        return {node: [state for _, state in found] for node, found in self.executions(run_id).items()}

    def pods(self, run_id: str, step: str) -> list[str]:
        """The pods in which a step of a run was tried."""
        return pods_of(NAMESPACE, run_id, step)

    def versions(self) -> list[str]:
        return sorted(path.name for path in (self.root / "serving").glob("[0-9]*"))

    def features(self) -> int:
        indices = (self.root / "store" / "features").glob("*/shard-*.json")
        return sum(len(json.loads(index.read_text())["sha256"]) for index in indices)

    def until(self, true: object, what: str, seconds: float = 300) -> None:
        """Looks until something is so: a cluster tells no one when it is done."""
        end = time.monotonic() + seconds
        while not true():  # type: ignore[operator]
            assert time.monotonic() < end, f"{what} did not come"
            time.sleep(0.5)


def claim() -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "captions"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }


def made_cluster(directory: pathlib.Path, image: str) -> Iterator[Cluster]:
    """One with 60 pictures; its database goes with it."""
    made = Cluster(directory, image)
    made.draw(60)
    yield made
    for each in made.server.schedules():
        made.server.client.delete_recurring_run(each.recurring_run_id)
    kubectl("delete", "secret", made.name, f"{made.name}-wrong", "--ignore-not-found")
    made.sql(f"DROP DATABASE {made.database}")
    made.sql(f"DROP USER '{made.database}'@'%'")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    image = os.environ.get("STEP_IMAGE") or os.environ["CLUSTER_IMAGE"]
    yield from made_cluster(tmp_path_factory.mktemp("cluster"), image)


@pytest.fixture(scope="session")
def first(cluster) -> str:
    """The id of a first run, with parameters of its own."""
    run_id = cluster.start(*PARAMETERS)
    assert cluster.wait(run_id) == "SUCCEEDED", cluster.logs(run_id)
    return run_id
