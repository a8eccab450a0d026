"""The error messages of the code, found by `ast`, and the values that one of them was filled with.

A message is what a `raise` puts into its exception: the literal parts, with … for what is filled in. A message that is
raised elsewhere than it is written is found in the functions of `BUILDERS`.
"""

import ast
import contextlib
import pathlib
import re
from collections.abc import Iterator

import pytest

from tests.factories import ROOT

PACKAGES = ("components", "constraints", "kubeflow", "pipeline", "spark")
# functions that write a message for another one to raise
BUILDERS = {
    "_explain",
    "_here",
    "_no_captions",
    "_no_volume",
    "_not_on_volume",
    "_not_writable",
    "_unknown_format",
    "_unknown_key",
}
GAP = "…"


def messages() -> dict[str, str]:
    """Message -> the place of its `raise`, FILE:LINE; without those that are nothing but another error's message."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    found = {text: f"{path.relative_to(ROOT)}:{line}" for path in paths for line, text in _messages_of(path)}
    return {text: place for text, place in found.items() if re.search(r"\b[a-z]{3}", text)}


def _messages_of(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if (isinstance(node, ast.Call) and ast.unparse(node.func) == "UserError") or isinstance(node, ast.Raise):
            call = node.exc if isinstance(node, ast.Raise) else node
            for argument in call.args if isinstance(call, ast.Call) else ():
                yield node.lineno, text_of(argument)
        elif isinstance(node, ast.FunctionDef) and node.name in BUILDERS:
            for part in ast.walk(node):
                if isinstance(part, ast.Return | ast.Yield) and part.value is not None:
                    yield part.lineno, text_of(part.value)


def text_of(expression: ast.expr) -> str:
    """The literal parts of an expression, with … for the others."""
    if isinstance(expression, ast.Constant):
        return expression.value if isinstance(expression.value, str) else GAP
    if isinstance(expression, ast.JoinedStr):
        return re.sub(f"{GAP}+", GAP, "".join(map(text_of, expression.values)))
    if isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Add):
        return re.sub(f"{GAP}+", GAP, text_of(expression.left) + text_of(expression.right))
    return GAP


def filled_in(message: str, text: str) -> tuple[str, ...]:
    """What stands in the gaps of a message; the text may have more before and after it."""
    end = r"(?=\n|\Z)" if message.endswith(GAP) else ""
    match = re.search(re.escape(message).replace(GAP, "(.*?)") + end, text, re.DOTALL)
    assert match, f"{text!r} is not {message!r}"
    return match.groups()


class Advice(list):
    """What stands in the gaps of a message that was raised."""


@contextlib.contextmanager
def refusal(message: str) -> Iterator[Advice]:
    """Expects an error with a message of the code; what is in its gaps is known after the block."""
    advice = Advice()
    with pytest.raises(Exception) as error:
        yield advice
    advice.extend(filled_in(message, str(error.value)))
