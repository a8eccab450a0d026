import pytest

from pipeline import local_run
from pipeline.cli.main import main


def test_arguments_become_settings(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(local_run, "run", lambda *arguments: calls.append(arguments) or 0)
    root = tmp_path / 'it\'s "\\x41" #1'  # as YAML, it would be another path
    arguments = ["--root", str(root), "--no-cache", "--set", "trainer.epochs=3", "--set", "name=x", "--from", "Trainer"]
    assert main(["run", *arguments]) == 0
    [(config, from_node, to_node, verbose, pipeline)] = calls
    assert (config.root, config.cache, config.trainer.epochs, config.name) == (str(root), False, 3, "x")
    assert (from_node, to_node, verbose) == ("Trainer", None, False)
    assert pipeline == ["--set", "name=x", "--root", str(root)]


@pytest.mark.parametrize("status", [0, 1])
def test_the_exit_status_is_that_of_the_run(monkeypatch, tmp_path, status):
    monkeypatch.setattr(local_run, "run", lambda *arguments: status)
    assert main(["run", "--root", str(tmp_path), "-v"]) == status


def test_a_root_that_cannot_be_created_is_refused(tmp_path, capsys):
    (tmp_path / "file").touch()
    root = tmp_path / "file" / "root"
    assert main(["run", "--root", str(root)]) == 2
    message = f"caption-pipeline: error: root: {root} cannot be written to (Not a directory)\n"
    assert capsys.readouterr().err.startswith(message)
