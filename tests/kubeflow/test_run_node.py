"""A node of the compiled pipeline, run with TFX's launcher. An SQLite file replaces the database server."""

import logging
import os
import pathlib
import tempfile

import pytest
from captions_kubeflow import compiler, graph, run_node

from components.shared.mlmd.runs import run_outputs
from pipeline.config_files import load
from pipeline.database import connection_of, new_handle
from pipeline.paths import Paths

NAME = "captions-test"


@pytest.fixture(autouse=True)
def restored_logging():
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> str:
    root = tmp_path_factory.mktemp("root")
    return graph.to_text(compiler.compile_graph(load(None, [f"root={root}", f"name={NAME}"]))[0])


@pytest.fixture
def uri(tmp_path) -> str:
    return Paths(str(tmp_path)).metadata_uri


@pytest.fixture
def run(text, uri):
    """Runs a node; a later argument overrides one of these."""

    def run_step(node: str, run_id: str, *more: str) -> int:
        return run_node.main(["--graph", text, "--metadata", uri, "--node", node, "--run-id", run_id, *more])

    return run_step


def test_a_step_does_not_write_into_a_bucket_of_another_database(bucket, tmp_path, capsys):
    overrides = [f"root={bucket}/root", f"data.dir={bucket}/data", f"name={NAME}", "metadata=mysql://host/name"]
    text = graph.to_text(compiler.compile_graph(load(None, overrides))[0])
    arguments = ["--graph", text, "--node", "ImportSchemaGen", "--run-id", "run-1"]
    own, other = (f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("own", "other"))
    assert run_node.main([*arguments, "--metadata", own]) == 0
    assert run_node.main([*arguments, "--metadata", other]) == 1
    assert f"root: {bucket}/root belongs to another ML Metadata" in capsys.readouterr().err


def test_a_node_is_run_and_recorded_and_the_next_run_takes_it_from_the_cache(run, uri, capsys):
    assert run("ImportSchemaGen", "run-1") == 0
    assert "ImportSchemaGen done" in capsys.readouterr().out
    assert run("ImportSchemaGen", "run-2") == 0
    assert "ImportSchemaGen cached" in capsys.readouterr().out
    with new_handle(connection_of(uri)) as handle:
        uris = [
            run_outputs(handle, NAME, run_id, ["ImportSchemaGen"])["ImportSchemaGen"]["schema"].uri
            for run_id in ("run-1", "run-2")
        ]
    assert uris[0] == uris[1] and pathlib.Path(uris[0], "schema.pbtxt").is_file()


def test_parameters_reach_the_node_and_its_error_is_the_last_line(run, uri, capsys):
    assert run("CaptionIngest", "run-1", "--param", "data_dir", "/no/such/data") == 1
    printed = capsys.readouterr()
    assert "Traceback" in printed.out  # in the log
    [line] = printed.err.strip().splitlines()[-1:]
    assert line.startswith("CaptionIngest failed: ") and "/no/such/data" in line


def test_a_node_whose_inputs_are_missing_fails(run, uri, capsys):
    assert run("Trainer", "run-1") == 1
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("Trainer failed: Trainer could not be started: its inputs were not found")
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--param", "trainer_epochs", "many"], "ImportSchemaGen failed: trainer_epochs: 'many' is not of type int"),
        (["--metadata", "mysql://db/mlmd"], "ImportSchemaGen failed: METADATA_USER, METADATA_PASSWORD not set"),
    ],
)
def test_an_error_before_the_start_is_one_line(run, monkeypatch, capsys, arguments, message):
    for part in ("USER", "PASSWORD"):
        monkeypatch.delenv(f"METADATA_{part}", raising=False)
    assert run("ImportSchemaGen", "run-1", *arguments) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith(message)


def test_a_graph_of_different_code_is_not_run(run, text, tmp_path, capsys):
    assert run("ImportSchemaGen", "run-1", "--graph", f"other{text}") == 1
    assert "the pipeline was compiled from code other" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("writable", [True, False])
def test_temporary_files_go_to_the_volume_if_no_other_directory_is_writable(tmp_path, monkeypatch, writable):
    def system_directory() -> str:
        if not writable:
            raise FileNotFoundError("No usable temporary directory found")
        return "/tmp"

    monkeypatch.setenv("TMPDIR", "/elsewhere")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "gettempdir", system_directory)
    run_node._use_scratch(str(tmp_path / "scratch"))
    assert os.environ["TMPDIR"] == ("/elsewhere" if writable else str(tmp_path / "scratch"))
    assert (tmp_path / "scratch").exists() is not writable
