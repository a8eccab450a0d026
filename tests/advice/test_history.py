"""What errors about runs, models, ML Metadata and the feature store advise, done."""

import contextlib
import os
import pathlib
import re
import shutil
import sqlite3

import pytest
from ml_metadata import MetadataStore, downgrade_schema

from components.shared.mlmd.runs import pipeline_named, runs_of
from pipeline import compare, database, feature_store, sqlite_database
from pipeline.cli.main import main
from pipeline.errors import UserError
from pipeline.paths import Paths
from pipeline.rollback import roll_back
from tests.fake_mlmd import PIPELINE, FakeMlmd, sqlite_connection, write_history
from tests.messages import filled_in, refusal
from tests.pipeline.test_feature_store import Runs
from tests.pipeline.test_rollback import PushedModels


@pytest.fixture
def root(tmp_path) -> pathlib.Path:
    """A root with two pushed models, of the runs one and two."""
    write_history(tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def error(capsys):
    """Runs a command that is refused, and returns its error."""

    def run(*arguments: str) -> str:
        assert main(arguments) == 2
        return capsys.readouterr().err

    return run


def test_compare_finds_the_pipeline_that_is_named(root, error):
    [_, _, hint] = filled_in("no run of … in … yet…", error("compare", "--root", str(root)))
    name = re.search(r"runs exist for (\w+).*--set name=", hint)
    assert name and main(["compare", "--root", str(root), "--set", f"name={name[1]}"]) == 0


def test_compare_finds_each_of_the_runs_that_are_named(root, error):
    command = ["compare", "--root", str(root), "--set", f"name={PIPELINE}", "--"]
    last = filled_in("…: no such run; the last ones are: …", error(*command, "three"))[1]
    matches = filled_in("…: ambiguous, it matches: …", error(*command, ""))[1]
    assert last == matches == "one, two"
    for name in last.split(", "):
        assert main([*command, name]) == 0


def test_a_run_can_be_compared_once_it_was_evaluated():
    history = FakeMlmd()
    history.execute("Trainer", {}, {}, "one")
    with refusal("no run of … in … has been evaluated yet; another pipeline: --config or --root") as advice:
        compare.find(history.store, PIPELINE, [], "root")
    history.execute("BleuEvaluator", {}, {"evaluation": history.artifact("ModelEvaluation", decision="blessed")}, "one")
    assert compare.find(history.store, advice[0], [], "root")


def test_lineage_finds_the_versions_that_are_named_in_the_root_that_is(root, error, tmp_path):
    elsewhere = str(tmp_path)
    answer = error("lineage", elsewhere)[26:]
    [model] = filled_in("… is not inside a pipeline root; choose one with --root or --config", answer)
    answer = error("lineage", model, "--root", str(root))
    [_, hint] = filled_in("…: not a model that ML Metadata knows; …", answer)
    for version in hint.removeprefix("give a pushed version, such as ").split(", "):
        assert main(["lineage", version, "--root", str(root)]) == 0


@pytest.mark.parametrize("command", ["compare", "rollback", "features"])
def test_the_root_of_a_run_is_named_with_root(root, error, command, tmp_path):
    other, name = ["--root", str(tmp_path / "other")], ["--set", f"name={PIPELINE}"]
    filled_in(
        "nothing has run in … yet: name the root of a run with --root, its settings with --config, or its database "
        "with --set metadata=URI",
        error(command, *other, *name),
    )
    assert main([command, "--root", str(root), *name]) == 0
    if command == "compare":
        assert main([command, *other, *name, f"metadata={Paths(str(root)).metadata_uri}"]) == 0


def test_a_version_that_is_named_can_be_rolled_back_to(tmp_path):
    pushed = PushedModels(tmp_path, 3)
    with refusal("--to …: no such version was pushed; the versions are …") as advice:
        pushed.roll_back("9")
    with refusal("--to …: this model is already being served"):
        pushed.roll_back("3")
    assert pushed.roll_back(advice[1].split(", ")[0]).target == "1"


def test_a_foreign_version_is_rolled_back_from_with_to(tmp_path):
    pushed = PushedModels(tmp_path, 2)
    (pushed.serving / "7").mkdir()
    (pushed.serving / "7" / "saved_model.pb").write_text("of somebody else")
    with refusal("the served version … was not pushed by this pipeline; choose one with --to: …") as advice:
        pushed.roll_back()
    assert pushed.roll_back(advice[1].split(", ")[0]).target == "1"


def test_the_second_model_can_be_rolled_back(tmp_path):
    pushed = PushedModels(tmp_path, 1)
    with refusal(
        "no version before … in …; the versions are …: to serve one all the same, name it with --to; another pipeline: "
        "--config or --root"
    ):
        pushed.roll_back()
    pushed.push(2)
    assert pushed.roll_back().target == "1"


def test_files_of_a_version_are_restored_in_one_of_the_places(tmp_path):
    pushed = PushedModels(tmp_path, 2)
    places = [pushed.serving / "1", tmp_path / "model 1" / "Format-Serving"]
    backup = shutil.copytree(places[0], tmp_path / "backup")
    for place in places:
        shutil.rmtree(place)
    with refusal("the files of version … are gone or damaged: it is in none of …") as advice:
        pushed.roll_back()
    assert set(advice[1].split(", ")) >= set(map(str, places))
    shutil.copytree(backup, advice[1].split(", ")[0])
    assert pushed.roll_back().target == "1" and pushed.content() == "model 1"


def test_a_pipeline_that_has_pushed_is_named(tmp_path):
    pushed = PushedModels(tmp_path, 2)
    with refusal("… has pushed nothing to … to roll back to…") as advice:
        roll_back(pushed.store, "other", str(pushed.serving))
    name = re.search(r"runs exist for (\w+).*--set name=", advice[2])
    assert name
    shutil.move(pushed.serving, tmp_path / "moved")
    with refusal("nothing is served in …; another pipeline: --config or --root") as advice:
        roll_back(pushed.store, name[1], str(pushed.serving))
    shutil.move(tmp_path / "moved", advice[0])
    assert roll_back(pushed.store, name[1], str(pushed.serving)).target == "1"


def test_a_locked_database_is_opened_when_the_other_process_has_ended(root, monkeypatch):
    monkeypatch.setattr(sqlite_database, "LOCK_TIMEOUT", 0.01)
    path = root / "metadata.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with (
            refusal("… is in use…: try again when that has ended") as advice,
            database.open_metadata(f"sqlite:///{path}"),
        ):
            pass
        assert f"by process {os.getpid()} (" in advice[1]
    with database.open_metadata(f"sqlite:///{path}") as handle:
        assert pipeline_named(handle.store, PIPELINE)


def opens(path: pathlib.Path) -> bool:
    with database.open_metadata(f"sqlite:///{path}") as handle:
        return bool(runs_of(handle.store, PIPELINE))


def test_a_database_that_can_not_be_used_is_left_for_another_root_or_moved_away(root, tmp_path):
    path = root / "metadata.sqlite"
    write_history(tmp_path / "other")
    other = tmp_path / "other" / "metadata.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as newer:
        [[version]] = newer.execute("SELECT schema_version FROM MLMDEnv").fetchall()
        newer.execute("UPDATE MLMDEnv SET schema_version = ?", [version + 1])
        newer.commit()
    with refusal("… was written by a newer TFX than this one: use that one, or another --root"):
        opens(path)
    assert opens(other)

    damaged = sqlite_connection(tmp_path / "other")
    downgrade_schema(damaged, version - 1)
    with contextlib.closing(sqlite3.connect(other)) as old:
        old.execute("DROP TABLE Type")
        old.commit()
    with refusal(
        "… cannot be upgraded (…) and was left as it is: use the TFX that wrote it, or another --root"
    ) as advice:
        opens(other)
    assert advice[0] == str(other)

    path.write_text("no database\n" * 100)
    with refusal("… cannot be used (…): move it away, or use another --root") as advice:
        opens(path)
    path.rename(tmp_path / "moved")
    assert sqlite_database.prepare(sqlite_connection(root)) is None
    MetadataStore(sqlite_connection(root))
    assert not opens(pathlib.Path(advice[0]))


def test_another_root_in_a_bucket_is_named_by_its_metadata(root, error):
    settings = ["--root", str(root)]
    answer = error("features", *settings, "--also-root", "s3://bucket/mine")
    filled_in("--also-root …: name the ML Metadata of a root in a bucket with --also-metadata", answer)
    assert main(["features", *settings, "--also-metadata", Paths(str(root)).metadata_uri]) == 0


def test_features_gc_is_confirmed_or_previewed(root, error):
    command, settings = ["features", "--root", str(root)], ["--set", f"name={PIPELINE}"]
    filled_in("--dry-run and --yes are only valid with features gc", error(*command, "--dry-run", *settings))
    message = "features gc deletes files: confirm with --yes, or preview with --dry-run"
    filled_in(message, error(*command, "gc"))
    for option in re.findall(r"--[\w-]+", message):
        assert main([*command, "gc", option, *settings]) == 0
    filled_in("--keep-last …: must be 0 or more", error(*command, "--keep-last", "-1"))
    assert main([*command, "--keep-last", "0"]) == 0


def test_a_further_run_writes_the_manifest_anew(tmp_path):
    runs = Runs(tmp_path)
    for run in ("one", "two"):
        runs.extract(run)
    with refusal("… is damaged: run the pipeline again first, which writes a new manifest") as advice:
        pathlib.Path(tmp_path, "artifacts", "two", "manifest.json").write_text("")
        runs.usage(2)
    runs.extract("three")
    assert runs.shards(3) == {"one", "three"} and pathlib.Path(advice[0]).read_text() == ""


def test_a_root_is_moved_back(tmp_path):
    runs = Runs(tmp_path)
    runs.extract("one")
    os.rename(tmp_path / "artifacts", tmp_path / "moved")
    with refusal("the features artifacts of … are gone, such as …: was the root moved? Move it back") as advice:
        runs.usage(1)
    os.rename(tmp_path / "moved", os.path.dirname(advice[1]))
    assert runs.shards(1) == {"one"}


def test_the_store_of_a_root_that_has_runs_is_read(root, tmp_path):
    with pytest.raises(UserError, match="nothing has run in"):
        feature_store.read_usage(str(tmp_path / "store"), [f"sqlite:///{tmp_path}/other.sqlite"], 1)
    assert feature_store.read_usage(str(tmp_path / "store"), [Paths(str(root)).metadata_uri], 1) == []
