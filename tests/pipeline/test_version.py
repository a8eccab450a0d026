import subprocess

import pytest

from pipeline import version


@pytest.fixture
def commit(monkeypatch, tmp_path):
    """Asks anew, of a checkout in a temporary directory."""
    monkeypatch.setattr(version, "ROOT", tmp_path)
    monkeypatch.delenv(version.VARIABLE, raising=False)
    return version.commit.__wrapped__


def git(directory, *arguments: str) -> str:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    command = ["git", "-C", str(directory), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_and_whether_it_was_changed(commit, tmp_path):
    assert commit() is None
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    assert commit() == git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "file").write_text("two")
    assert commit() == git(tmp_path, "rev-parse", "HEAD") + "-dirty"


def test_an_image_is_told_its_commit(commit, monkeypatch):
    monkeypatch.setenv(version.VARIABLE, "0123abc")
    assert commit() == "0123abc"
