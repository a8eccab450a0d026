"""The suite of `make test-cluster`, against a real Kubeflow Pipelines server and a real database.

Environment variables:
  KFP_HOST           address of the server
  KUBECONFIG         access to its Kubernetes, with the right to create secrets and claims in the namespace `kubeflow`
  METADATA_HOST, METADATA_PORT, METADATA_ADMIN, METADATA_ADMIN_PASSWORD
                     a MariaDB or MySQL server, and a user who may create databases and users (default: root without a
                     password)
  CLUSTER_IMAGE      name of the image of kubeflow/Dockerfile on the cluster's nodes; built from this code
  STEP_IMAGE         image for all tests except that of the image itself (default: CLUSTER_IMAGE); a test node may run
                     the steps of an image that does not exist as processes
  POD_LOGS           directory of the pods' logs, POD.log, if Kubernetes does not serve them
  KILL_TRAINER       command that kills the Trainer of the run $RUN_ID, in the pod $POD, with SIGKILL
  DATABASE_PAUSE     command that stops the database for ten seconds

The claim `captions` must be mounted at /captions on this machine, too: the tests write the data there and check what
was pushed.

With a substitute for the kubelet, as in CI, some things are not tested: it supports no artifacts (unit tests cover how
metrics reach KFP's UI), no limits, no security contexts (the API server checks them, see test_manifests) and no logs
(hence POD_LOGS).
"""

import os
import pathlib
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator

import kfp
import pytest
import yaml
from captions_kubeflow.logs import list_pods
from captions_kubeflow.server import Server
from ml_metadata.proto import metadata_store_pb2

from pipeline import sample_data
from pipeline.paths import Paths
from tests.factories import RESOLVER, ROOT, STEPS, num_features

NAMESPACE = "kubeflow"
MOUNT = "/captions"
DEBUG = yaml.safe_load((ROOT / "pipeline" / "configs" / "debug.yaml").read_text())
DEBUG["trainer"]["epochs"] = 1  # the runs set another number
NODES = {*STEPS, RESOLVER}
PARAMETERS = ("trainer.epochs=2", "evaluator.min_bleu_4=0.0")


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    return subprocess.run(
        ["kubectl", "-n", NAMESPACE, *arguments], input=stdin, check=True, capture_output=True, text=True
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
        self.create_secret(self.name, self.password)
        if not kubectl("get", "persistentvolumeclaim", "captions", "--ignore-not-found", "-o", "name"):
            kubectl("apply", "-f", "-", stdin=yaml.safe_dump(claim()))
        self.root = pathlib.Path(MOUNT) / self.name
        self.paths = Paths(str(self.root))
        self.config = directory / f"{self.name}.yaml"
        self.write_config()
        self.server = Server(kfp.Client(host=os.environ["KFP_HOST"]), self.name)

    def write_config(self, secret: str | None = None, top: dict[str, object] | None = None, **settings: object) -> None:
        """Writes the config: some settings of Kubeflow, and others at the top."""
        database = {"host": self.host, "port": int(self.port), "name": self.database, "secret": secret or self.name}
        kubeflow = {"image": self.image, "database": database, **settings}
        config = {**DEBUG, **(top or {}), "name": self.name, "kubeflow": kubeflow}
        self.config.write_text(yaml.safe_dump(config))

    def create_secret(self, name: str, password: str) -> None:
        literals = [f"--from-literal=user={self.database}", f"--from-literal=password={password}"]
        kubectl("create", "secret", "generic", name, *literals)

    def write_data(self, num_images: int) -> None:
        """Writes synthetic images to the volume; the steps may run as another user."""
        sample_data.write(pathlib.Path(self.paths.sample_data), num_images, seed=7)
        self.root.chmod(0o777)

    def sql(self, statement: str) -> str:
        user = os.environ.get("METADATA_ADMIN", "root")
        environment = {**os.environ, "MYSQL_PWD": os.environ.get("METADATA_ADMIN_PASSWORD", "")}
        command = ["mariadb", "--no-defaults", f"-u{user}", f"-h{self.host}", f"-P{self.port}", "-N", "-e", statement]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def client(self, *arguments: str, status: int = 0) -> str:
        """Runs the command line, and returns its output."""
        command = [sys.executable, "local_runner.py", "kubeflow", *arguments]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert run.returncode == status, run.stdout + run.stderr
        return run.stdout + run.stderr

    def start(self, *parameters: str) -> str:
        """Starts a run, and returns its id."""
        options = ["--param", *parameters] if parameters else []
        return self.client("run", "--config", str(self.config), *options).split()[-1]

    def wait(self, run_id: str, seconds: int = 1800) -> str:
        return self.server.wait(run_id, seconds).state

    def logs(self, run_id: str, *step: str) -> str:
        options = ["--log-dir", os.environ["POD_LOGS"]] if "POD_LOGS" in os.environ else []
        return self.client("logs", run_id, *step, *options)

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
        executions: dict[str, list[tuple[int, str]]] = {}
        for line in self.sql(query).splitlines():
            node, number, state = line.split("\t")
            name = metadata_store_pb2.Execution.State.Name(int(state)).lower()
            executions.setdefault(node.removeprefix(f"{self.name}."), []).append((int(number), name))
        return executions

    def states(self, run_id: str) -> dict[str, list[str]]:
        """The states of a run's nodes: node -> state of each execution."""
        return {node: [state for _, state in nodes] for node, nodes in self.executions(run_id).items()}

    def pods(self, run_id: str, step: str) -> list[str]:
        """The pods of a step's attempts."""
        return list_pods(NAMESPACE, run_id, step)

    def versions(self) -> list[str]:
        return sorted(path.name for path in pathlib.Path(self.paths.serving).glob("[0-9]*"))

    def num_features(self) -> int:
        return num_features(self.paths.feature_store)

    def wait_until(self, condition: Callable[[], object], description: str, seconds: float = 300) -> None:
        """Polls until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"timeout: {description}"
            time.sleep(0.5)


def claim() -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "captions"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }


def temporary_cluster(directory: pathlib.Path, image: str, num_images: int = 60) -> Iterator[Cluster]:
    """A pipeline with images on the volume, if any; its database is deleted afterwards."""
    cluster = Cluster(directory, image)
    if num_images:
        cluster.write_data(num_images)
    yield cluster
    for schedule in cluster.server.schedules():
        cluster.server.client.delete_recurring_run(schedule.recurring_run_id)
    kubectl("delete", "secret", cluster.name, f"{cluster.name}-wrong", "--ignore-not-found")
    cluster.sql(f"DROP DATABASE {cluster.database}")
    cluster.sql(f"DROP USER '{cluster.database}'@'%'")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    image = os.environ.get("STEP_IMAGE") or os.environ["CLUSTER_IMAGE"]
    yield from temporary_cluster(tmp_path_factory.mktemp("cluster"), image)


@pytest.fixture(scope="session")
def first_run(cluster) -> str:
    """The id of a first run, with parameters of its own."""
    run_id = cluster.start(*PARAMETERS)
    assert cluster.wait(run_id) == "SUCCEEDED", cluster.logs(run_id)
    return run_id
