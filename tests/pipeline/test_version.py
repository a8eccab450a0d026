import subprocess

import pytest

from pipeline import version


@pytest.fixture
def commit(monkeypatch, tmp_path):
    """Determines the commit of a checkout in a temporary directory, uncached."""
    monkeypatch.setattr(version, "ROOT", tmp_path)
    monkeypatch.delenv(version.VARIABLE, raising=False)
    return version.commit.__wrapped__


def git(directory, *arguments: str) -> str:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    command = ["git", "-C", str(directory), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_and_whether_files_have_changed(commit, tmp_path):
    assert commit() is None
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    assert commit() == git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "file").write_text("two")
    assert commit() == git(tmp_path, "rev-parse", "HEAD") + "-dirty"


def test_the_environment_names_the_commit_of_an_image(commit, monkeypatch):
    monkeypatch.setenv(version.VARIABLE, "0123abc")
    assert commit() == "0123abc"
