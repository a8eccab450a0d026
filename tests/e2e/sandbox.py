"""The real pipeline on the debug config, one process per run."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.fork_server import ForkServer
from pipeline.paths import Paths
from tests.factories import ROOT, STEPS, num_features

DEBUG = ["--config", "pipeline/configs/debug.yaml"]


class Sandbox:
    """A copy of the code, which may be edited, and a root; both can be reset to how the first run left them."""

    def __init__(self, directory: pathlib.Path, fork_server: ForkServer):
        self._fork_server = fork_server
        self.directory, self.saved = directory / "current", directory / "saved"
        self.code, self.root = self.directory / "code", self.directory / "root"
        self.paths = Paths(str(self.root))
        self.data, self.serving = pathlib.Path(self.paths.sample_data), pathlib.Path(self.paths.serving)
        for name in ("components", "pipeline", "schemas"):
            shutil.copytree(ROOT / name, self.code / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "local_runner.py", self.code)
        self.first = self._run(self._execute_alone(self.command("run")))  # as a user runs it
        shutil.copytree(self.directory, self.saved)

    def reset(self) -> None:
        shutil.rmtree(self.directory)
        shutil.copytree(self.saved, self.directory)  # at the same place: ML Metadata has absolute paths

    def command(self, name: str, *arguments: str, settings: Sequence[str] = ()) -> list[str]:
        overrides = ["--set", *settings] if settings else []
        return [sys.executable, "local_runner.py", name, *DEBUG, "--root", str(self.root), *arguments, *overrides]

    def execute(self, command: list[str]) -> subprocess.CompletedProcess:
        return self._fork_server.run(command[1:], self.code, self._environment())

    def run(self, *arguments: str, settings: Sequence[str] = (), status: int = 0) -> dict:
        """Runs the pipeline; the summary, with what was printed as `out`."""
        return self._run(self.execute(self.command("run", *arguments, settings=settings)), status)

    def _environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        return environment | {"PYTHONPATH": str(self.code)}

    def _execute_alone(self, command: list[str]) -> subprocess.CompletedProcess:
        environment = self._environment()
        return subprocess.run(command, cwd=self.code, env=environment, capture_output=True, text=True, check=False)

    def _run(self, run: subprocess.CompletedProcess, status: int = 0) -> dict:
        assert run.returncode == status, run.stdout + run.stderr
        return json.loads(pathlib.Path(self.paths.summary).read_text()) | {"out": run.stdout + run.stderr}

    def print(self, name: str, *arguments: str) -> str:
        """What another command prints."""
        run = self.execute(self.command(name, *arguments))
        assert run.returncode == 0, run.stderr
        return run.stdout

    def versions(self) -> list[str]:
        return sorted(path.name for path in self.serving.iterdir())

    def num_features(self) -> int:
        """Number of images that the feature store holds."""
        return num_features(self.paths.feature_store)


def states(summary: dict) -> dict[str, str]:
    return {node["id"]: node["state"] for node in summary["nodes"]}


def done(*steps: str) -> dict[str, str]:
    """The states of a run in which some steps were executed, and the others were cached."""
    return dict.fromkeys(STEPS, "cached") | dict.fromkeys(steps, "done")
