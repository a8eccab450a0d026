"""The terminal: the lines of a run, tables, and where the output of libraries goes."""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

from absl import logging as absl_logging
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.status import Status
from rich.table import Table
from rich.text import Text

from components.shared.progress import LOGGER, ThrottledProgress
from pipeline.step_states import State, Step

QUIET_SECONDS = 10.0  # between two lines of progress where lines cannot be overwritten
BRIEF_SECONDS = 1.0  # a step that takes less is not announced there
UNLIMITED_WIDTH = 10_000  # columns, where no terminal cuts the lines
LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_STYLES = {State.DONE: "green", State.CACHED: "cyan", State.UNCHANGED: "cyan", State.FAILED: "bold red"}


class Display(logging.Handler):
    """One line per step: its state and time, and its progress while it runs. It is a context manager."""

    def __init__(self, stream: IO[str], total: int):
        """Initializes an empty display.

        Args:
          stream: the terminal, or a file in its place.
          total: number of steps.
        """
        super().__init__()
        self.console = new_console(stream, width=120)
        self._total, self._ended = total, 0
        self._status: Status | None = None
        self._timer: threading.Timer | None = None
        self._step, self._last_printed = "", 0.0

    def __enter__(self) -> "Display":
        LOGGER.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        LOGGER.removeHandler(self)
        self._stop()

    def start(self, step: Step) -> None:
        """Shows that a step has started."""
        self._step, self._last_printed = step.id, time.monotonic()
        if self.console.is_terminal:
            spinner = "dots" if self.console.encoding.startswith("utf") else "line"
            self._status = self.console.status(self._line(State.RUNNING.value), spinner=spinner)
            self._status.start()
        else:  # a cached step is one line, not two
            self._timer = threading.Timer(BRIEF_SECONDS, self._print, [self._line(State.RUNNING.value)])
            self._timer.daemon = True
            self._timer.start()

    def end(self, step: Step) -> None:
        """Shows the state in which a step has ended."""
        self._stop()
        self._step = step.id
        duration = f"{step.seconds:7.1f} s" if step.state != State.SKIPPED else ""
        self._print(self._line(f"{step.state.value:<9}{duration}"), _STYLES.get(step.state, "default"))
        self._ended += 1

    def emit(self, record: logging.LogRecord) -> None:
        """Shows progress, a log record of `components.shared.progress.LOGGER`; a warning stays on the terminal."""
        if record.levelno >= logging.WARNING:
            self._print(f"warning: {record.getMessage()}", "yellow")
            return
        line = self._line(f"{State.RUNNING.value}  {record.getMessage()}")
        if self._status is not None:
            self._status.update(line)
        elif time.monotonic() - self._last_printed >= QUIET_SECONDS:
            self._last_printed = time.monotonic()
            self._print(line)

    def _print(self, line: str, style: str = "default") -> None:
        self.console.print(line, style=style, markup=False)

    def _stop(self) -> None:
        """Removes the line of the running step."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _line(self, text: str) -> str:
        return f"({self._ended + 1:>{len(str(self._total))}}/{self._total}) {self._step:<16} {text}"


def print_table(table: RenderableType) -> None:
    """Prints tables on the standard output: lines are not cut where it is not a terminal, nor is a cell where it is."""
    console = new_console(sys.stdout, UNLIMITED_WIDTH)
    with console.capture() if not console.is_terminal else contextlib.nullcontext() as capture:
        for part in table.renderables if isinstance(table, Group) else [table]:
            fitted = _fitted(part, console) if isinstance(part, Table) else part
            console.print(fitted, soft_wrap=not isinstance(fitted, Table))  # the words of a cell are wrapped in it
    if capture is not None:  # without the spaces that fill the columns up
        print("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _fitted(table: Table, console: Console) -> RenderableType:
    """A table as it is, or a line per cell where the terminal is too narrow for its longest words."""
    for column in table.columns:
        column.overflow = "fold"  # instead of cutting it
    unlimited = console.options.update(max_width=UNLIMITED_WIDTH)
    if not table.show_header or Measurement.get(console, unlimited, table).minimum <= console.width:
        return table
    lines = Text()
    for row in zip(*(column.cells for column in table.columns), strict=True):
        for column, cell in zip(table.columns, row, strict=True):
            header, text = _text(column.header), _text(cell)
            if text.plain:
                lines.append_text(Text(f"{header}: " if header else "", "bold")).append_text(text).append("\n")
        lines.append("\n")
    lines.rstrip()
    return lines


def _text(cell: RenderableType) -> Text:
    """A header or a cell; text without a style of its own may contain markup."""
    return cell if isinstance(cell, Text) else Text.from_markup(str(cell))


def new_console(stream: IO[str], width: int) -> Console:
    """A console that writes text alone, without escape codes, where users or their terminals want none.

    Args:
      stream: the terminal, or a file in its place.
      width: columns of a file; a terminal knows its own.
    """
    if stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        return Console(file=stream, highlight=False, soft_wrap=True)
    width = 0 if stream.isatty() else width
    return Console(
        file=stream, highlight=False, soft_wrap=True, width=width or None, force_terminal=False, color_system=None
    )


@contextlib.contextmanager
def redirect_output(path: str, verbose: bool) -> Iterator[IO[str]]:
    """Sends everything that libraries print or log, C++ and child processes included, to a file.

    Args:
      path: the log file, which is appended to.
      verbose: whether to print the Python part of the log on the terminal, too.

    Yields:
      the terminal, for the lines of the run.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    # as the standard output, whose encoding the environment may choose
    terminal = os.fdopen(os.dup(1), "w", buffering=1, encoding=sys.stdout.encoding, errors=sys.stdout.errors)
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
def suppress_stderr() -> Iterator[None]:
    """Drops what libraries print to standard error, C++ included: TensorFlow logs before it can be configured."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        with contextlib.redirect_stderr(sys.__stderr__):  # in a notebook sys.stderr is not the process's
            yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def _log_to(*streams: Any) -> list[logging.Handler]:
    """Logs everything from INFO on to some streams, with time and logger."""
    absl_logging.set_verbosity(absl_logging.INFO)
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for handler in list(root.handlers):  # absl's and TensorFlow's own, which would log everything twice
        root.removeHandler(handler)
    handlers: list[logging.Handler] = []
    for stream in filter(None, streams):
        handler = logging.StreamHandler(stream)
        handler.addFilter(ThrottledProgress())
        handler.setFormatter(logging.Formatter(LOG_FORMAT))
        root.addHandler(handler)
        handlers.append(handler)
    LOGGER.setLevel(logging.INFO)
    return handlers
