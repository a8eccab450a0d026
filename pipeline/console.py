"""What a run shows on the terminal, and where the rest goes."""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

from absl import logging as absl_logging
from rich.console import Console
from rich.status import Status

from components.progress import LOGGER, SparseProgress
from pipeline.steps import State, Step

QUIET_SECONDS = 10.0  # between two lines of progress where lines can't be overwritten
BRIEF_SECONDS = 1.0  # a step that takes less is not announced there
_STYLES = {State.DONE: "green", State.CACHED: "cyan", State.UNCHANGED: "cyan", State.FAILED: "bold red"}


class Display(logging.Handler):
    """One line a step: its state and time, and while it runs its progress. To be entered with `with`."""

    def __init__(self, stream: IO[str], total: int):
        """Shows nothing yet.

        Args:
          stream: the terminal, or what stands for it.
          total: number of steps.
        """
        super().__init__()
        self.console = Console(file=stream, highlight=False, soft_wrap=True, width=None if stream.isatty() else 120)
        self._total, self._ended = total, 0
        self._status: Status | None = None
        self._timer: threading.Timer | None = None
        self._step, self._told = "", 0.0

    def __enter__(self) -> "Display":
        LOGGER.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        LOGGER.removeHandler(self)
        self._stop()

    def start(self, step: Step) -> None:
        """A step begins."""
        self._step, self._told = step.id, time.monotonic()
        if self.console.is_terminal:
            self._status = self.console.status(self._line(State.RUNNING.value))
            self._status.start()
        else:  # a step that is answered from the cache is one line, not two
            self._timer = threading.Timer(BRIEF_SECONDS, self._print, [self._line(State.RUNNING.value)])
            self._timer.daemon = True
            self._timer.start()

    def end(self, step: Step) -> None:
        """A step has ended."""
        self._stop()
        self._step = step.id
        took = f"{step.seconds:7.1f} s" if step.state != State.SKIPPED else ""
        self._print(self._line(f"{step.state.value:<9}{took}"), _STYLES.get(step.state, "default"))
        self._ended += 1

    def emit(self, record: logging.LogRecord) -> None:
        """Progress, as a log record of `components.progress.LOGGER`."""
        line = self._line(f"{State.RUNNING.value}  {record.getMessage()}")
        if self._status is not None:
            self._status.update(line)
        elif time.monotonic() - self._told >= QUIET_SECONDS:
            self._told = time.monotonic()
            self._print(line)

    def _print(self, line: str, style: str = "default") -> None:
        self.console.print(line, style=style, markup=False)

    def _stop(self) -> None:
        """Ends what says that a step is running."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _line(self, text: str) -> str:
        return f"({self._ended + 1:>{len(str(self._total))}}/{self._total}) {self._step:<16} {text}"


@contextlib.contextmanager
def chatter_to(path: str, verbose: bool) -> Iterator[IO[str]]:
    """Sends all that libraries print or log, C++ and child processes included, to a file.

    Args:
      path: the log file; it is appended to.
      verbose: show the log's Python part on the terminal too.

    Yields:
      the terminal, for our own lines.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    terminal = os.fdopen(os.dup(1), "w", buffering=1)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    handlers = _log_to(sys.stderr, terminal if verbose else None)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield terminal
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (*saved, log):
            os.close(descriptor)
        for handler in handlers:
            logging.getLogger().removeHandler(handler)
        terminal.close()


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Drops what libraries print to the standard error, C++ included: TensorFlow greets before it can be told."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _log_to(*streams: Any) -> list[logging.Handler]:
    """Logs everything from INFO on to streams, with time and logger."""
    absl_logging.set_verbosity(absl_logging.INFO)
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for handler in list(root.handlers):  # absl's and TensorFlow's own, which would say everything twice
        root.removeHandler(handler)
    handlers: list[logging.Handler] = []
    for stream in filter(None, streams):
        handler = logging.StreamHandler(stream)
        handler.addFilter(SparseProgress())
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        root.addHandler(handler)
        handlers.append(handler)
    LOGGER.setLevel(logging.INFO)
    return handlers
