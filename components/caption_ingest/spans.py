"""Data that comes in spans: one numbered directory per day or delivery, as in TFX's ExampleGen."""

import os
import pathlib
import re

from components.shared import storage

SPAN = "{SPAN}"


def newest(pattern: str | None) -> str:
    """Returns the directory with the highest number.

    "data/span-{SPAN}" -> "data/span-12", if there are span-2 and span-12

    Args:
      pattern: a directory, or a prefix in a bucket, in whose last part `{SPAN}` stands for the number; another one is
        returned as it is.

    Raises:
      FileNotFoundError: there is no such directory.
      ValueError: there is no pattern, or `{SPAN}` is in another part of the path, or occurs twice.
    """
    if not pattern:
        raise ValueError("data.dir: no data directory")
    if SPAN not in pattern:
        return pattern
    parent, name = os.path.split(str(pathlib.Path(pattern)) if storage.is_local(pattern) else pattern.rstrip("/"))
    if pattern.count(SPAN) != 1 or SPAN not in name:
        raise ValueError(f"data.dir: {pattern} may contain {SPAN} only once, in its last part")
    before, after = map(re.escape, name.split(SPAN))
    expression = re.compile(rf"{before}(\d+){after}")
    matches = filter(None, map(expression.fullmatch, storage.list_names(parent or ".")))
    for match in sorted(matches, key=lambda match: (int(match[1]), match[0]), reverse=True):
        if storage.is_directory(path := os.path.join(parent, match[0])):
            return path
    raise FileNotFoundError(f"data.dir: there is no directory {pattern} with a number for {SPAN}")
