"""What a run costs in which nothing is new."""

import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from benchmarks.measuring import Result, in_turns

ROOT = pathlib.Path(__file__).parent.parent
SMALL = [
    "data.sample.images=60",
    "feature_extractor.backbone=MobileNet",
    "feature_extractor.image_size=64",
    "trainer.epochs=1",
    "trainer.d_model=32",
    "trainer.feed_forward=64",
    "evaluator.min_bleu_4=0",
]


def cached_run() -> Iterator[Result]:
    """A run that the cache answers, against the import that every TFX program begins with."""
    with tempfile.TemporaryDirectory() as root:
        run = [sys.executable, "local_runner.py", "run", "--root", root, "--set", *SMALL]
        imports = [sys.executable, "-c", "import tfx.v1"]

        def execute(command: list[str]) -> None:
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)

        execute(run)
        ours, theirs = in_turns(lambda: execute(run), lambda: execute(imports), rounds=3)
    detail = f"a run with nothing new {ours:.1f} s, python -c 'import tfx.v1' {theirs:.1f} s"
    yield Result("run.cached_over_import", ours / theirs, "ratio", detail)
