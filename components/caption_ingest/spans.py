"""Data that comes in spans: one numbered directory per day or delivery, as in TFX's ExampleGen."""

import pathlib
import re

SPAN = "{SPAN}"


def newest(pattern: str | None) -> str:
    """Returns the directory with the highest number.

    "data/span-{SPAN}" -> "data/span-12", if there are span-2 and span-12

    Args:
      pattern: a directory, in whose last part `{SPAN}` stands for the number; without `{SPAN}`, it is returned.

    Raises:
      FileNotFoundError: there is no such directory.
      ValueError: there is no pattern, or `{SPAN}` is in another part of the path, or occurs twice.
    """
    if not pattern:
        raise ValueError("data.dir: no data directory")
    if SPAN not in pattern:
        return pattern
    path = pathlib.Path(pattern)
    if pattern.count(SPAN) != 1 or SPAN not in path.name:
        raise ValueError(f"data.dir: {pattern} may contain {SPAN} only once, in its last part")
    before, after = map(re.escape, path.name.split(SPAN))
    expression = re.compile(rf"{before}(\d+){after}")
    directories = [directory for directory in path.parent.glob("*") if directory.is_dir()]
    spans = [(int(match[1]), str(path)) for path in directories if (match := expression.fullmatch(path.name))]
    if not spans:
        raise FileNotFoundError(f"data.dir: there is no directory {pattern} with a number for {SPAN}")
    return max(spans)[1]
