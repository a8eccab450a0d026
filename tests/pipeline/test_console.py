import io
import logging
import os
import re
import subprocess
import sys
import warnings

import pytest
from rich.console import Group
from rich.table import Table

from components.shared.progress import LOGGER
from pipeline import console
from pipeline.console import Display, redirect_output
from pipeline.step_states import State, Step
from tests.factories import ROOT


class Clock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(console, "time", clock)
    return clock


def lines(stream: io.StringIO) -> list[str]:
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_step_is_one_line_with_state_and_time():
    stream = io.StringIO()
    with Display(stream, total=9) as display:
        for step in (Step("CaptionIngest", State.CACHED, 0.04), Step("Trainer", State.DONE, 96.62)):
            display.start(step)
            display.end(step)
        display.end(Step("Pusher", State.SKIPPED))
    assert lines(stream) == [
        "(1/9) CaptionIngest    cached       0.0 s",
        "(2/9) Trainer          done        96.6 s",
        "(3/9) Pusher           skipped",
    ]


def test_progress_is_shown_at_intervals(clock):
    stream = io.StringIO()
    LOGGER.setLevel(logging.INFO)
    with Display(stream, total=2) as display:
        display.start(Step("Trainer", State.RUNNING))
        for second in range(25):
            clock.now = float(second)
            LOGGER.info("epoch %d of 24", second)
        display.end(Step("Trainer", State.DONE, 25.0))
    assert lines(stream) == [
        "(1/2) Trainer          running  epoch 10 of 24",
        "(1/2) Trainer          running  epoch 20 of 24",
        "(1/2) Trainer          done        25.0 s",
    ]


def test_a_warning_stays_on_the_terminal(clock):
    stream = io.StringIO()
    LOGGER.setLevel(logging.INFO)
    with Display(stream, total=2) as display:
        display.start(Step("Trainer", State.RUNNING))
        for name in ("a", "b"):
            LOGGER.warning("%s.npz is damaged", name)
        display.end(Step("Trainer", State.DONE, 25.0))
    assert lines(stream)[:2] == ["warning: a.npz is damaged", "warning: b.npz is damaged"]


def test_a_long_step_is_announced(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(console, "BRIEF_SECONDS", 0.0)
    with Display(stream, total=2) as display:
        display.start(Step("Trainer", State.RUNNING))
        display._timer.join()
    assert lines(stream) == ["(1/2) Trainer          running"]


def test_brackets_in_a_message_are_no_markup(clock):
    LOGGER.setLevel(logging.INFO)
    stream = io.StringIO()
    with Display(stream, total=2) as display:
        display.start(Step("Trainer", State.RUNNING))
        clock.now = 60.0
        LOGGER.info("[red] of [/b]")
    assert "[red] of [/b]" in stream.getvalue()


PROGRAM = """
import logging, os, subprocess, sys, warnings
from pipeline.console import redirect_output
with redirect_output(sys.argv[1], verbose=len(sys.argv) > 2) as terminal:
    print("printed")
    os.write(2, b"written by a C library\\n")
    logging.getLogger("some.library").info("logged")
    warnings.warn("warned")
    subprocess.run([sys.executable, "-c", "print('a child')"])
    print("ours", file=terminal)
print("after")
"""


@pytest.mark.parametrize("verbose", [False, True])
def test_library_output_goes_to_the_log_and_the_runs_lines_to_the_terminal(tmp_path, verbose):
    log = tmp_path / "log.txt"
    command = [sys.executable, "-c", PROGRAM, str(log), *(["-v"] if verbose else [])]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    out = run.stdout.splitlines()
    assert out[-2:] == ["ours", "after"]
    assert (len(out) == 3 and out[0].endswith("some.library: logged")) if verbose else len(out) == 2
    assert run.stderr == ""
    text = log.read_text()
    for line in ("printed", "written by a C library", "some.library: logged", "warned", "a child"):
        assert line in text
    assert "ours" not in text and "after" not in text


def test_an_exception_restores_the_terminal(tmp_path, capfd):
    with pytest.raises(RuntimeError), redirect_output(str(tmp_path / "log.txt"), verbose=False):
        raise RuntimeError
    os.write(1, b"back again\n")
    assert capfd.readouterr().out == "back again\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (tmp_path / "log.txt").exists()


def test_the_standard_error_is_suppressed_and_restored(capfd):
    with console.suppress_stderr():
        os.write(2, b"from C++\n")
        subprocess.run("echo from a child >&2", shell=True, check=True)
    os.write(2, b"an error\n")
    assert capfd.readouterr().err == "an error\n"


def test_what_a_notebook_takes_for_the_standard_error_is_suppressed_too(capfd, monkeypatch):
    notebook = io.StringIO()
    monkeypatch.setattr(sys, "stderr", notebook)
    with console.suppress_stderr():
        print("of a library", file=sys.stderr)
        handler = logging.StreamHandler()  # keeps the stream
    assert sys.stderr is notebook and notebook.getvalue() == ""
    handler.emit(logging.makeLogRecord({"msg": "an error"}))
    assert capfd.readouterr().err == "an error\n"


class Terminal(io.StringIO):
    """A terminal of a certain width, which keeps what is written on it."""

    encoding = "utf-8"

    def isatty(self):
        return True


def wide_table() -> Table:
    rows = Table("backbone", "directory", box=None)
    rows.add_row("MobileNet 64 px, random", "0123456789abcdef" * 4)
    return rows


@pytest.mark.parametrize("variable", ["NO_COLOR", "TERM"])
def test_a_terminal_that_wants_no_escape_codes_gets_none(monkeypatch, variable):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "100")

    def output() -> str:
        stream = Terminal()
        with Display(stream, total=1) as display:
            display.start(Step("Trainer", State.RUNNING))
            display.end(Step("Trainer", State.FAILED, 1.0))
            display.console.print(wide_table())
        return stream.getvalue()

    assert "\x1b[" in output()
    monkeypatch.setenv(variable, {"NO_COLOR": "1", "TERM": "dumb"}[variable])
    assert "(1/1) Trainer          failed       1.0 s\n" in output()
    assert "\x1b" not in output() and "0123456789abcdef" * 4 in output()


def test_a_pipe_gets_no_escape_codes_even_if_colors_are_forced(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    console.print_table(wide_table())
    [header, row] = capsys.readouterr().out.splitlines()
    assert header == header.rstrip() and row == row.rstrip()
    assert row.split() == ["MobileNet", "64", "px,", "random", "0123456789abcdef" * 4]


@pytest.mark.parametrize("width", [40, 90, 140])
def test_a_narrow_terminal_loses_nothing_of_a_table(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stdout", Terminal())
    console.print_table(Group(wide_table(), "", "the end"))
    lines = [line.strip() for line in re.sub(r"\x1b\[[\d;]*m", "", sys.stdout.getvalue()).splitlines()]
    name = "0123456789abcdef" * 4
    if width == 40:
        assert lines == ["backbone: MobileNet 64 px, random", f"directory: {name}", "", "the end"]
    elif width == 90:
        assert lines[1] == f"MobileNet 64 px, random  {name[:-1]}" and lines[2] == name[-1]
    else:
        assert lines[1] == f"MobileNet 64 px, random  {name}"


def test_the_terminal_of_a_run_is_encoded_as_the_standard_output(tmp_path):
    code = "from pipeline.console import redirect_output as r\nwith r('log', False) as t: print('é', file=t)"
    environment = os.environ | {"PYTHONIOENCODING": "latin-1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True).stdout == b"\xe9\n"
