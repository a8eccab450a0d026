"""The commands about earlier runs: compare, lineage and rollback."""

import json
import pathlib

import pytest

from pipeline.cli.main import main
from pipeline.paths import display_path
from tests.fake_mlmd import PIPELINE, write_history


@pytest.fixture
def root(tmp_path) -> pathlib.Path:
    write_history(tmp_path)
    return tmp_path


def test_compare_prints_a_column_per_run(root, capsys):
    assert main(["compare", "--root", str(root), "--set", f"name={PIPELINE}"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows["Runs"] == ["of", PIPELINE, "in", f"{display_path(str(root))}:"]
    assert rows["decision"] == ["blessed", "blessed"]
    assert rows["decoding.beam_size"] == ["1", "2"]


def test_lineage_finds_the_root_above_the_model(root, capsys):
    assert main(["lineage", str(root / "serving")]) == 0
    assert "beam_size 2" in capsys.readouterr().out
    assert main(["lineage", str(root / "serving" / "1"), "--json"]) == 0
    [step] = json.loads(capsys.readouterr().out)["steps"]
    assert step["parameters"]["settings"] == '{"beam_size": 1}'


def test_lineage_needs_a_root(root, tmp_path_factory, capsys):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert main(["lineage", str(elsewhere)]) == 2
    assert f"{elsewhere} is not inside a pipeline root" in capsys.readouterr().err
    assert main(["lineage", str(elsewhere), "--root", str(root)]) == 2
    assert "not a model that ML Metadata knows; give a pushed version" in capsys.readouterr().err


def test_rollback_serves_the_previous_model(root, capsys):
    assert main(["rollback", "--root", str(root), "--set", f"name={PIPELINE}"]) == 0
    newest = max((root / "serving").iterdir(), key=lambda path: int(path.name))
    assert (newest / "saved_model.pb").read_text() == "one"
    assert (
        capsys.readouterr().out
        == f"Rolled back to 1 (pushed as {display_path(str(newest))}); 2 is excluded from blessing\n"
    )
    assert main(["rollback", "--root", str(root), "--set", f"name={PIPELINE}", "--to", "9"]) == 2
    assert "caption-pipeline: error: --to 9: no such version was pushed" in capsys.readouterr().err
