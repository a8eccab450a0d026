"""What the cells of a notebook have put out."""

import re

from nbformat import NotebookNode

ABSOLUTE_PATH = re.compile(r"(?:^|[\s'\"(>=:])/(?!>)[\w.-]+/")
WARNING = re.compile(r"Warning\b|WARNING|Traceback")
CONTROL_CHARACTER = re.compile(r"[\x00-\x09\x0b-\x1f]")


def texts(cells: list[NotebookNode]) -> list[str]:
    """What code cells printed and displayed, except images."""
    outputs = [output for cell in cells for output in cell.outputs]
    displayed = [text for output in outputs for kind, text in output.get("data", {}).items() if "text/" in kind]
    return [*displayed, *(output.text for output in outputs if output.output_type == "stream")]


def check(cells: list[NotebookNode]) -> None:
    """Asserts that there are no absolute paths, warnings or control characters, and nothing on the standard error."""
    for text in texts(cells):
        for pattern in (ABSOLUTE_PATH, WARNING, CONTROL_CHARACTER):
            assert not pattern.search(text), text
    assert not [output for cell in cells for output in cell.outputs if output.get("name") == "stderr"]
