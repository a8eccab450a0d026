"""What a release states about itself: version, license and changes agree wherever they are written."""

import re
import runpy

import pytest
import setuptools
import yaml

from pipeline.config_files import RENAMED
from tests.factories import ROOT


@pytest.fixture
def metadata(monkeypatch):
    """The arguments of setup()."""
    declared = {}
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: declared.update(arguments))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    return declared


def test_one_version_is_released(metadata):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    [(latest, date), *_] = re.findall(r"^## \[(.+)\] - (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert metadata["version"] == latest == citation["version"]
    assert citation["date-released"] == date


def test_the_license_is_the_same_everywhere(metadata):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert metadata["license_expression"] == citation["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert metadata["author"] == citation["authors"][0]["name"]
    assert metadata["author"] in (ROOT / "NOTICE").read_text()


def test_the_changelog_names_every_renamed_setting():
    rows = dict(re.findall(r"^\| `([\w.]+)` \| `([\w.]+)`", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE))
    assert rows == {old: new if isinstance(new, str) else new[0] for old, new in RENAMED.items()}


def test_the_forms_of_issues_are_complete():
    """What GitHub requires of a form: without it, the form is not offered."""
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert len(forms) == 2
    for path in forms:
        form = yaml.safe_load(path.read_text())
        assert form["name"] and form["description"]
        ids = [element["id"] for element in form["body"]]
        assert len(ids) == len(set(ids))
        assert all(element["attributes"]["label"] for element in form["body"])
        assert all(element["type"] in ("textarea", "input", "dropdown") for element in form["body"])
