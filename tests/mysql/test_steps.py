"""The steps of a compiled pipeline, each on a node of its own: a bucket and a database, and no disk in common.

Kubeflow Pipelines only orders the containers; here they run one after the other, as processes with the arguments, the
variables and the Secrets that the compiled pipeline gives them.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml
from captions_kubeflow import compiler

from components.pusher import push
from components.shared import storage
from pipeline import sample_data
from pipeline.cli.main import main
from pipeline.config_files import load
from tests.mysql.conftest import PASSWORD, USER

KEEP = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH")  # of this process; all else is the container's


class Node:
    """Runs the steps of a compiled pipeline, each with an empty home of its own, as a pod has."""

    def __init__(self, compiled: pathlib.Path, secrets: dict[str, dict[str, str]], directory: pathlib.Path):
        self.spec, platform = yaml.safe_load_all(compiled.read_text())
        self.platform = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        self.secrets, self.directory = secrets, directory
        self.logs = ""

    def run(self, run_id: str) -> dict[str, str]:
        """Runs all steps in order; returns the state of each, as its log ends."""
        tasks = dict(self.spec["root"]["dag"]["tasks"])
        states: dict[str, str] = {}
        done: set[str] = set()
        while tasks:
            name = next(name for name, task in tasks.items() if done.issuperset(task.get("dependentTasks", ())))
            task = tasks.pop(name)
            states[task["taskInfo"]["name"]] = self._run_task(task, run_id)
            done.add(name)
        return states

    def _run_task(self, task: dict, run_id: str) -> str:
        label = self.spec["components"][task["componentRef"]["name"]]["executorLabel"]
        container = self.spec["deploymentSpec"]["executors"][label]["container"]
        defaults = self.spec["root"]["inputDefinitions"]["parameters"]

        def fill_in(text: str) -> str:
            if parameter := re.fullmatch(r"\{\{\$\.inputs\.parameters\['(\w+)'\]\}\}", text):
                return str(defaults[parameter[1]]["defaultValue"])
            return {compiler.RUN_ID: run_id, compiler.EXECUTOR_INPUT: ""}.get(text, text)

        home = self.directory / run_id / label
        home.mkdir(parents=True)
        process = subprocess.run(
            [sys.executable, *container["command"][1:], *map(fill_in, container["args"])],
            cwd=home,
            env=self._environment(container, label) | {"HOME": str(home), "TMPDIR": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        self.logs += process.stdout + process.stderr
        assert process.returncode == 0, process.stdout[-4000:] + process.stderr
        return re.findall(rf" {task['taskInfo']['name']} (\w+)$", process.stdout, re.MULTILINE)[-1]

    def _environment(self, container: dict, label: str) -> dict[str, str]:
        environment = {name: os.environ[name] for name in KEEP if name in os.environ}
        environment |= {variable["name"]: variable["value"] for variable in container.get("env", ())}
        for secret in self.platform[label]["secretAsEnv"]:
            for key in secret["keyToEnv"]:
                environment[key["envVar"]] = self.secrets[secret["secretName"]][key["secretKey"]]
        assert set(self.platform[label]) <= {"secretAsEnv"}, "no volume, no mount"
        return environment


@pytest.mark.slow
def test_steps_share_a_bucket_and_a_database_and_nothing_else(server, database, uri, s3, bucket, tmp_path, capsys):
    sample_data.write(tmp_path / "data", 60, seed=7)
    for name in storage.list_files(str(tmp_path / "data")):
        storage.copy(str(tmp_path / "data" / name), f"{bucket}/data/{name}")
    public = {name: value for name, value in s3.items() if "KEY" not in name}
    settings = [f"root={bucket}/mine", f"data.dir={bucket}/data", f"metadata={uri}", "name=mine"]
    cluster = {"pvc_name": None, "storage_secret": "storage", "environment": public}
    config = load("debug", [*settings, f"kubeflow={json.dumps(cluster)}"])
    compiler.compile_to(config, str(tmp_path / "mine.yaml"))
    secrets = {"captions-metadata": {"user": USER, "password": PASSWORD}, "storage": s3}
    node = Node(tmp_path / "mine.yaml", secrets, tmp_path / "nodes")

    states = node.run("run-1")
    assert set(states.values()) == {"done"} and len(states) == 12
    serving = f"{bucket}/mine/serving"
    version = push.newest_version(serving)
    assert version and storage.exists(f"{serving}/{version}/saved_model.pb")
    assert main(["compare", "--config", "debug", "--set", *settings]) == 0
    assert "blessed" in capsys.readouterr().out
    assert main(["lineage", serving, "--config", "debug", "--set", *settings]) == 0
    assert "train 48, eval 6, test 6" in capsys.readouterr().out

    written = {name: storage.read_bytes(f"{bucket}/{name}") for name in storage.list_files(bucket)}
    texts = {"logs": node.logs, "database": server.dump(database), "yaml": (tmp_path / "mine.yaml").read_text()}
    for secret in (PASSWORD, s3["AWS_SECRET_ACCESS_KEY"]):
        assert not [name for name, text in texts.items() if secret in text]
        assert not [name for name, content in written.items() if secret.encode() in content]
