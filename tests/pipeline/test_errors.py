import pytest

from pipeline.errors import cause_lines


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (ValueError("the cause\nmore"), ["the cause", "more"]),
        (ValueError(""), ["ValueError"]),
        (RuntimeError("Traceback (most recent call last):\n  File\nKeyError: 'x'"), ["KeyError: 'x'"]),
    ],
)
def test_a_cause_has_no_traceback(error, lines):
    assert cause_lines(error) == lines
