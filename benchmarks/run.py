"""The cost of a run with nothing new."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator

from benchmarks.measuring import ROOT, Result, in_turns

DEBUG = ["--config", "pipeline/configs/debug.yaml", "--set", "trainer.epochs=1"]


def cached_run() -> Iterator[Result]:
    """Compares a run that is answered from the cache with the import that every TFX program begins with."""
    with tempfile.TemporaryDirectory() as root:
        run = [sys.executable, "local_runner.py", "run", "--root", root, *DEBUG]
        imports = [sys.executable, "-c", "import tfx.v1"]

        def execute(command: list[str]) -> None:
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)

        execute(run)
        ours, theirs = in_turns(lambda: execute(run), lambda: execute(imports), rounds=3)
    detail = f"a run with nothing new {ours:.1f} s, python -c 'import tfx.v1' {theirs:.1f} s"
    yield Result("run.cached_over_import", ours / theirs, "ratio", detail)
