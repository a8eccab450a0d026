"""Data that comes in spans: one directory for each day or delivery, numbered, as TFX's ExampleGen knows them."""

import pathlib
import re

SPAN = "{SPAN}"


def newest(pattern: str) -> str:
    """The directory with the highest number.

    "data/span-{SPAN}" -> "data/span-12", where there are span-2 and span-12

    Args:
      pattern: a directory, in whose last part `{SPAN}` stands for the number; without it, the directory itself.

    Raises:
      FileNotFoundError: there is no such directory.
      ValueError: `{SPAN}` stands in another part of the path, or twice.
    """
    if SPAN not in pattern:
        return pattern
    path = pathlib.Path(pattern)
    if pattern.count(SPAN) != 1 or SPAN not in path.name:
        raise ValueError(f"data.dir: {pattern} may have {SPAN} once, in its last part")
    before, after = map(re.escape, path.name.split(SPAN))
    expression = re.compile(rf"{before}(\d+){after}")
    found = [(expression.fullmatch(each.name), each) for each in path.parent.glob("*") if each.is_dir()]
    spans = [(int(match[1]), str(each)) for match, each in found if match]
    if not spans:
        raise FileNotFoundError(f"data.dir: there is no directory {pattern} with a number for {SPAN}")
    return max(spans)[1]
