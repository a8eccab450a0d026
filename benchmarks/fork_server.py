"""Runs of the pipeline, for tests and `make soak`, in processes that have loaded TensorFlow and TFX before they begin.

Loading takes longer than most runs of the debug config. The project's own modules are never loaded beforehand: each
process takes them from its working directory, where a test may have edited them.
"""

import contextlib
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence

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
        assert self._process.stdin and self._process.stdout
        self._requests, self._replies = self._process.stdin, self._process.stdout

    def start(
        self, arguments: Sequence[str], directory: pathlib.Path, environment: Mapping[str, str]
    ) -> "ForkedProcess":
        """Starts a Python script; one at a time.

        Args:
          arguments: the script and its arguments.
          directory: the working directory, from which modules are imported, too.
          environment: all environment variables.
        """
        temporary = tempfile.TemporaryDirectory()
        files = [pathlib.Path(temporary.name) / name for name in ("stdout", "stderr")]
        request = {
            "arguments": list(arguments),
            "directory": str(directory),
            "environment": dict(environment),
            "files": list(map(str, files)),
        }
        print(json.dumps(request), file=self._requests, flush=True)
        return ForkedProcess(self._read_reply(), self._read_reply, temporary, files)

    def run(
        self, arguments: Sequence[str], directory: pathlib.Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess:
        """Runs a Python script and waits for its end. Arguments as for `start`."""
        process = self.start(arguments, directory, environment)
        try:
            return process.wait()
        except BaseException:  # an interrupt reaches this process alone
            process.kill()
            raise

    def _read_reply(self) -> int:
        return json.loads(self._replies.readline())

    def stop(self) -> None:
        """Ends the process."""
        self._requests.close()
        self._process.wait()


class ForkedProcess:
    """A process that has been started, the leader of a process group of its own.

    Attributes:
      pid: its ID.
    """

    def __init__(
        self,
        pid: int,
        read_status: Callable[[], int],
        temporary: tempfile.TemporaryDirectory,
        files: Sequence[pathlib.Path],
    ):
        self.pid, self._read_status, self._temporary, self._files = pid, read_status, temporary, files

    def kill(self) -> None:
        """Kills the process with all its children, if it has not ended; `wait` has to follow."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self) -> subprocess.CompletedProcess:
        """Waits for the end; returns the status, negative if a signal ended it, and what was written."""
        with self._temporary:
            status = self._read_status()
            return subprocess.CompletedProcess([], status, *(file.read_text() for file in self._files))


def serve() -> None:
    """Answers requests on stdin until it is closed; in the child of a request, runs its script and returns."""
    sys.path.pop(0)  # the directory of this file
    exec(PRELOADED, {})
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            replies.close()
            _run(**request)
            return
        os.setpgid(pid, pid)
        print(pid, file=replies)
        _, status = os.waitpid(pid, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), file=replies)


def _run(arguments: list[str], directory: str, environment: dict[str, str], files: list[str]) -> None:
    """Makes this process what `python ARGUMENTS` would be in that directory."""
    for descriptor, path in enumerate([os.devnull, *files]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), descriptor)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    sys.path.insert(0, directory)
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    serve()
