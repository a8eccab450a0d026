"""The errors that the command line shows as one line, and what to show of others. Nothing heavy is imported."""

import itertools
from collections.abc import Sequence

_TRACEBACK = "Traceback (most recent call last):"


class UserError(ValueError):
    """What was asked for cannot be done; the message, one line, says why and what to do instead."""


class DatabaseError(UserError):
    """ML Metadata cannot be used; the message says what to do and contains no secret."""


def cause_lines(error: BaseException | None) -> list[str]:
    r"""The lines of an error's message, without the traceback that Beam passes on as a worker's message.

    On an engine, its own words precede the traceback, and the stack of its Java process may follow.

    >>> cause_lines(ValueError("Traceback (most recent call last):\n  File x\nKeyError: 'y'"))
    ["KeyError: 'y'"]
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if not any(_TRACEBACK in line for line in lines[:2]):
        return lines
    python = itertools.takewhile(lambda line: not line.startswith("\tat "), lines)
    return [line for line in python if line.strip()][-1:]


def hint_at_pipelines(names: Sequence[str]) -> str:
    """The end of a message about a pipeline that has no runs: how to choose one that has some."""
    return f"; runs exist for {', '.join(names)}: choose one with --config, or --set name=…" if names else ""
