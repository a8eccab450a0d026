import json
import re
import subprocess
import sys

import pytest

import local_runner
from tests.material import ROOT

COMMANDS = ("run", "caption", "stats", "store", "compare", "lineage", "rollback")
HEAVY = "import sys, local_runner\nlocal_runner._parser()\nprint(sorted({name.split('.')[0] for name in sys.modules}))"


def test_nothing_heavy_is_loaded_before_it_is_needed():
    out = subprocess.run([sys.executable, "-c", HEAVY], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    loaded = set(json.loads(out.replace("'", '"')))
    assert not loaded & {"tensorflow", "tfx", "apache_beam", "keras", "numpy", "pydantic", "yaml", "rich", "PIL"}


@pytest.mark.parametrize("command", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as exit_status:
        local_runner.main(command)
    assert exit_status.value.code == 0
    out = capsys.readouterr().out
    assert "usage: local_runner.py" in out
    assert "%%" not in out
    if command == ["run", "--help"]:
        for option in ("--config", "--set", "--root", "--no-cache", "--from", "--to", "-v"):
            assert option in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "trainer.epoch=3"], "unknown key trainer.epoch; did you mean epochs?"),
        (["--set", "trainer.epochs=3", "data.dir=/nowhere"], "data.dir: /nowhere is not a directory"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml"),
    ],
)
def test_settings_that_can_not_be_used_are_refused_before_anything_runs(arguments, message, capsys, tmp_path):
    assert local_runner.main(["run", "--root", str(tmp_path / "root"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "root").exists()


def test_options_become_settings(monkeypatch, tmp_path):
    from pipeline import local_run

    seen = []
    monkeypatch.setattr(local_run, "run", lambda *arguments: seen.append(arguments) or 0)
    root = tmp_path / 'it\'s "\\x41" #1'  # YAML would read more than a path into that
    arguments = ["--root", str(root), "--no-cache", "--set", "trainer.epochs=3", "--set", "name=x", "--from", "Trainer"]
    assert local_runner.main(["run", *arguments]) == 0
    [(config, from_node, to_node, verbose)] = seen
    assert (config.root, config.cache, config.trainer.epochs, config.name) == (str(root), False, 3, "x")
    assert (from_node, to_node, verbose) == ("Trainer", None, False)


def test_a_root_that_can_not_be_made_is_said(tmp_path, capsys):
    (tmp_path / "file").touch()
    root = tmp_path / "file" / "root"
    assert local_runner.main(["run", "--root", str(root)]) == 2
    assert capsys.readouterr().err == f"local_runner.py: root: {root} can't be written to (Not a directory)\n"


def test_a_directory_without_a_model_is_said(tmp_path, capsys):
    assert local_runner.main(["caption", "--model", str(tmp_path), "x.jpg"]) == 2
    assert f"--model {tmp_path}: no SavedModel there" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["compare", "rollback", "stats"])
def test_commands_about_what_was_say_that_nothing_has_run(command, tmp_path, capsys):
    assert local_runner.main([command, "--root", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"local_runner.py: nothing has run in {tmp_path} yet\n"


def test_stats_of_a_database_that_can_not_be_used_are_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "metadata.sqlite").write_text("no database\n" * 100)
    assert local_runner.main(["stats", "--root", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"local_runner.py: .*metadata.sqlite can't be used \(.+\): move it away, or .*\n", said)


def test_a_model_in_no_root_has_no_lineage(tmp_path, capsys):
    assert local_runner.main(["lineage", str(tmp_path)]) == 2
    assert f"{tmp_path} lies in no root" in capsys.readouterr().err
