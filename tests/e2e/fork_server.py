"""Runs of the pipeline in processes that have loaded TensorFlow and TFX before they begin.

Loading takes longer than most runs of the debug config. The project's own modules are never loaded beforehand: each
process takes them from its working directory, where a test may have edited them.
"""

import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

PRELOADED = """
import apache_beam, jinja2, keras, ml_metadata, pydantic, tensorboard, tensorflow
import tensorflow_data_validation, tensorflow_transform
import tfx.components.statistics_gen.executor, tfx.components.transform.executor
import tfx.orchestration.metadata, tfx.orchestration.pipeline, tfx.orchestration.portable.launcher
"""


class ForkServer:
    """Starts processes by forking one that has loaded the libraries."""

    def __init__(self):
        """Begins to load the libraries, in the background."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def run(
        self, arguments: Sequence[str], directory: pathlib.Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess:
        """Runs a Python script and waits for its end.

        Args:
          arguments: the script and its arguments.
          directory: the working directory, from which modules are imported, too.
          environment: all environment variables.
        """
        with tempfile.TemporaryDirectory() as temporary:
            files = [pathlib.Path(temporary) / name for name in ("stdout", "stderr")]
            request = {
                "arguments": list(arguments),
                "directory": str(directory),
                "environment": dict(environment),
                "files": list(map(str, files)),
            }
            print(json.dumps(request), file=self._process.stdin, flush=True)
            status = json.loads(self._process.stdout.readline())
            return subprocess.CompletedProcess(arguments, status, *(file.read_text() for file in files))

    def stop(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def serve() -> None:
    """Answers requests on stdin until it is closed; in the child of a request, runs its script and returns."""
    exec(PRELOADED, {})
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            replies.close()
            _run(**request)
            return
        _, status = os.waitpid(pid, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), file=replies)


def _run(arguments: list[str], directory: str, environment: dict[str, str], files: list[str]) -> None:
    """Makes this process what `python ARGUMENTS` would be in that directory."""
    for descriptor, path in enumerate([os.devnull, *files]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), descriptor)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv, sys.path[0] = arguments, directory  # instead of the directory of this file
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    serve()
