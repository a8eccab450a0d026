"""The cost of a run with nothing new."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from benchmarks.measuring import ROOT, Result, in_turns

DEBUG = ["--config", "pipeline/configs/debug.yaml", "--set", "trainer.epochs=1"]


def cached_run() -> Iterator[Result]:
    """Compares a run that is answered from the cache with the import that every TFX program begins with."""
    with tempfile.TemporaryDirectory() as root:
        arguments = ["--root", root, *DEBUG]
        execute(arguments)
        ours, theirs = in_turns(lambda: execute(arguments), lambda: _python("-c", "import tfx.v1"), rounds=3)
    detail = f"a run with nothing new {ours:.1f} s, python -c 'import tfx.v1' {theirs:.1f} s"
    yield Result("run.cached_over_import", ours / theirs, "ratio", detail)


def execute(arguments: Sequence[str]) -> None:
    """Runs the pipeline.

    Args:
      arguments: of the command `run`.
    """
    _python("local_runner.py", "run", *arguments)


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
