import os
import pathlib
import sys

import numpy as np
import pytest
from ml_metadata import MetadataStore

from components.feature_extractor.store import FeatureStore
from components.shared.backbone_description import BackboneDescription
from pipeline.cli.main import main
from tests.fake_mlmd import sqlite_connection


@pytest.fixture
def root(tmp_path) -> pathlib.Path:
    """A root without runs, whose feature store has one old shard."""
    MetadataStore(sqlite_connection(tmp_path))
    directory = tmp_path / "store" / "features" / "print"
    (directory / "backbone-0a").mkdir(parents=True)
    (directory / "backbone-0a" / "saved_model.pb").touch()
    BackboneDescription("MobileNet", "random", 32, "backbone-0a", (2, 2), 3).write(str(directory))
    store = FeatureStore(str(directory))
    store.add(["sha"], np.zeros((1, 4, 3), np.float16))
    os.utime(directory / store.index()["sha"], (1, 1))
    return tmp_path


@pytest.fixture
def answer(monkeypatch):
    """Makes the standard input a terminal on which somebody gives an answer."""

    def type_in(text: str) -> None:
        monkeypatch.setattr("builtins.input", lambda prompt: print(prompt) or text)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)

    return type_in


def shards(root: pathlib.Path) -> list[str]:
    return [path.name for path in root.glob("store/features/*/shard-*.tfrecord")]


def features(root: pathlib.Path, *arguments: str) -> int:
    return main(["features", "--root", str(root), *arguments])


def test_the_usage_is_shown_and_nothing_deleted(root, capsys):
    assert features(root, "--keep-last", "5") == 0
    out = capsys.readouterr().out
    assert "not used by the last 5 runs" in out and "MobileNet 32 px, random" in out
    assert shards(root)


def test_a_dry_run_shows_what_would_be_deleted(root, capsys):
    [shard] = shards(root)
    assert features(root, "gc", "--dry-run") == 0
    out = capsys.readouterr().out
    assert f"would delete {root}/store/features/print/{shard}" in out
    assert shards(root) == [shard]


def test_deleting_takes_a_confirmation(root, capsys):
    assert features(root, "gc", "--yes") == 0
    assert "Deleted 0.0 MiB" in capsys.readouterr().out
    assert not shards(root)
    assert features(root, "gc", "--yes") == 0
    assert "Nothing to delete" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "status"), [("y", 0), ("", 1), ("n", 1), ("yes?", 1)])
def test_a_question_comes_before_deleting(root, answer, capsys, text, status):
    answer(text)
    assert features(root, "gc") == status
    assert "Delete 0.0 MiB of unused features? [y/N]" in capsys.readouterr().out
    assert bool(shards(root)) == bool(status)


def test_ctrl_d_is_a_no(root, monkeypatch, capsys):
    def press_ctrl_d(prompt):
        raise EOFError

    monkeypatch.setattr("builtins.input", press_ctrl_d)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert features(root, "gc") == 1
    assert "Nothing was deleted." in capsys.readouterr().out and shards(root)


def test_what_a_run_has_used_meanwhile_is_kept(root, monkeypatch, capsys):
    def use_and_agree(prompt):
        [shard] = root.glob("store/features/*/shard-*.tfrecord")
        os.utime(shard)  # stands for a run that has just computed it again
        return "y"

    monkeypatch.setattr("builtins.input", use_and_agree)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert features(root, "gc") == 0
    assert shards(root)


def test_without_a_terminal_nothing_is_deleted(root, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert features(root, "gc") == 2
    message = "features gc deletes files: confirm with --yes, or preview with --dry-run\n"
    assert capsys.readouterr().err == f"caption-pipeline: error: {message}"
    assert shards(root)


def test_options_of_gc_are_refused_without_it(root, capsys):
    assert features(root, "--yes") == 2
    assert "--dry-run and --yes are only valid with features gc" in capsys.readouterr().err


def test_another_root_must_have_runs_too(root, capsys, tmp_path):
    other = tmp_path / "other"
    assert features(root, "gc", "--yes", "--also-root", str(other)) == 2
    assert f"nothing has run in {other} yet" in capsys.readouterr().err
    assert shards(root)
