import pytest

from components.caption_ingest.rejects import Reason, Reject, TooManyRejects, check_fraction
from pipeline import local_run


def cause(message: str) -> list[str]:
    failure = RuntimeError("a step failed")
    failure.__cause__ = ValueError(message)
    return local_run._cause(failure, "runs/r/log.txt").splitlines()


def test_a_short_cause_is_told_in_full():
    assert cause("one\ntwo") == ["one", "two"]
    assert cause("") == ["ValueError"]
    assert cause("Traceback (most recent call last):\n  File x\nValueError: why") == ["ValueError: why"]


def test_what_is_left_out_of_a_long_cause_is_said():
    lines = [f"line {number}" for number in range(100)]
    assert cause("\n".join(lines)) == [*lines[:60], "… and 40 lines more, all of them in runs/r/log.txt"]
    assert cause("\n".join(lines[:60])) == lines[:60]


def test_the_table_of_all_reasons_is_told_in_full():
    rejects = [Reject("x", 1, reason, "detail") for reason in Reason for _ in range(4)]
    with pytest.raises(TooManyRejects) as error:
        check_fraction(rejects, 1, 0.0)
    assert cause(str(error.value)) == str(error.value).splitlines()
