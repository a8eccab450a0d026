import pytest

from pipeline.errors import cause_lines

TRACEBACK = "Traceback (most recent call last):\n  File\nKeyError: 'x'"


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (ValueError("the cause\nmore"), ["the cause", "more"]),
        (ValueError(""), ["ValueError"]),
        (RuntimeError(TRACEBACK), ["KeyError: 'x'"]),
        # as Spark's and Flink's job servers, and Dataflow, report a worker's error
        (
            RuntimeError(f"Pipeline p failed in state FAILED: Error received from SDK harness: {TRACEBACK}"),
            ["KeyError: 'x'"],
        ),
        (RuntimeError(f"Error received: {TRACEBACK}\n\n\tat org.A(A.java:1)\n\t... 3 more"), ["KeyError: 'x'"]),
        (RuntimeError(f"Dataflow pipeline failed. State: FAILED, Error:\n{TRACEBACK}\n"), ["KeyError: 'x'"]),
    ],
)
def test_a_cause_has_no_traceback(error, lines):
    assert cause_lines(error) == lines
