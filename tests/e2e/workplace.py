"""The real pipeline, on the sample's own config made small, run as a user runs it: one process a run."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence

from tests.material import ROOT

SMALL = [
    "data.sample.images=60",
    "feature_extractor.backbone=MobileNet",
    "feature_extractor.image_size=64",
    "trainer.epochs=2",
    "trainer.warmup=20",
    "trainer.encoder_layers=1",
    "trainer.decoder_layers=1",
    "trainer.d_model=32",
    "trainer.feed_forward=64",
    "evaluator.min_bleu_4=0.0",
    "evaluator.min_gain=-1.0",
    "evaluator.meteor=false",
]
STEPS = [
    "CaptionIngest",
    "ImportSchemaGen",
    "StatisticsGen",
    "ExampleValidator",
    "FeatureExtractor",
    "Transform",
    "Trainer",
    "BleuEvaluator",
    "Pusher",
    "Report",
]


class Workplace:
    """A copy of the code, which may be changed, and a root; both can be set back to how the first run left them."""

    def __init__(self, directory: pathlib.Path):
        self.directory, self.saved = directory / "now", directory / "saved"
        self.code, self.root = self.directory / "code", self.directory / "root"
        self.data = self.root / "sample_data"
        for name in ("components", "pipeline", "schemas"):
            shutil.copytree(ROOT / name, self.code / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "local_runner.py", self.code)
        self.first = self.run()
        shutil.copytree(self.directory, self.saved)

    def set_back(self) -> None:
        shutil.rmtree(self.directory)
        shutil.copytree(self.saved, self.directory)  # at the same place: ML Metadata knows absolute paths

    def command(self, *arguments: str, settings: Sequence[str] = ()) -> list[str]:
        overrides = ["--set", *SMALL, *settings]
        return [sys.executable, "local_runner.py", "run", "--root", str(self.root), *arguments, *overrides]

    def execute(self, command: list[str]) -> subprocess.CompletedProcess:
        environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        return subprocess.run(command, cwd=self.code, env=environment, capture_output=True, text=True, check=False)

    def run(self, *arguments: str, settings: Sequence[str] = (), status: int = 0) -> dict:
        """Runs the pipeline; the summary, with what was printed as `out`."""
        run = self.execute(self.command(*arguments, settings=settings))
        assert run.returncode == status, run.stdout + run.stderr
        return json.loads((self.root / "summary.json").read_text()) | {"out": run.stdout + run.stderr}

    def versions(self) -> list[str]:
        return sorted(path.name for path in (self.root / "serving").iterdir())

    def features(self) -> int:
        """Number of pictures that the feature store holds."""
        indices = (self.root / "store" / "features").glob("*/shard-*.json")
        return sum(len(json.loads(index.read_text())["sha256"]) for index in indices)


def states(summary: dict) -> dict[str, str]:
    return {node["id"]: node["state"] for node in summary["nodes"]}
