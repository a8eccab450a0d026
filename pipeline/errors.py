"""The errors that the command line shows as one line, and what to show of others. Nothing heavy is imported."""

from collections.abc import Sequence


class UserError(ValueError):
    """What was asked for cannot be done; the message, one line, says why and what to do instead."""


class DatabaseError(UserError):
    """ML Metadata cannot be used; the message says what to do and contains no secret."""


def cause_lines(error: BaseException | None) -> list[str]:
    r"""The lines of an error's message, without the traceback that Beam passes on as a worker's message.

    >>> cause_lines(ValueError("Traceback (most recent call last):\n  File x\nKeyError: 'y'"))
    ["KeyError: 'y'"]
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1:] if lines[0].startswith("Traceback") else lines


def hint_at_pipelines(names: Sequence[str]) -> str:
    """The end of a message about a pipeline that has no runs: how to choose one that has some."""
    return f"; runs exist for {', '.join(names)}: choose one with --config, or --set name=…" if names else ""
