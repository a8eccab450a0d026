"""docs/troubleshooting.md names every error message of the code, and no other."""

import re

from tests.factories import ROOT
from tests.messages import messages

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
# raised where only a defect of this project, or of its tests, leads
INTERNAL = {
    "a weight has the shape …, not …",
    "no module …",
    "push_destination: only a filesystem is supported",
    "the last attempt raises",
}


def one_line(text: str) -> str:
    return " ".join(text.split())


def entries() -> list[str]:
    """The messages of the page: its bold code."""
    return [one_line(code) for _, code in re.findall(r"\*\*(`+)(.+?)\1\*\*", PAGE, re.DOTALL)]


def test_the_page_has_every_message_of_the_code_once_and_no_other():
    in_code = {one_line(message): place for message, place in messages().items()}
    assert set(in_code) >= INTERNAL
    missing = [f"{place}: {message}" for message, place in in_code.items() if message not in {*entries(), *INTERNAL}]
    assert not missing, "add them to docs/troubleshooting.md:\n" + "\n".join(missing)
    gone = sorted(set(entries()) - (set(in_code) - INTERNAL))
    assert not gone, "no longer in the code:\n" + "\n".join(gone)
    assert len(entries()) == len(set(entries()))


def test_every_entry_says_what_to_do():
    for entry in re.findall(r"^- (.+?)(?=^- |^\S|\Z)", PAGE, re.MULTILINE | re.DOTALL):
        advice = re.sub(r"\*\*(`+).+?\1\*\*", "", entry, flags=re.DOTALL).strip(" ,:\n")
        assert len(advice.split()) >= 2 and advice.endswith("."), entry


def test_no_line_of_the_page_is_too_long():
    assert max(map(len, PAGE.splitlines())) <= 120
