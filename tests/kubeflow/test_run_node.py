"""A node of the compiled pipeline, run with TFX's launcher. A file stands in for the database server."""

import logging
import os
import pathlib
import tempfile

import pytest
from captions_kubeflow import compiler, database, graph, run_node
from ml_metadata.proto import metadata_store_pb2

from pipeline import lineage
from pipeline.config import load

NAME = "captions-test"


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was():
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
def connection(tmp_path, monkeypatch) -> metadata_store_pb2.ConnectionConfig:
    sqlite = metadata_store_pb2.SqliteMetadataSourceConfig(
        filename_uri=str(tmp_path / "metadata.sqlite"),
        connection_mode=metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE,
    )
    config = metadata_store_pb2.ConnectionConfig(sqlite=sqlite)
    monkeypatch.setattr(database, "connection_from", lambda environment: config)
    return config


def run(text: str, node: str, run_id: str, *more: str) -> int:
    return run_node.main(["--graph", text, "--node", node, "--run-id", run_id, *more])


def test_a_node_is_run_and_noted_and_the_next_run_takes_it_from_the_cache(text, connection, capsys):
    assert run(text, "ImportSchemaGen", "run-1") == 0
    assert "ImportSchemaGen done" in capsys.readouterr().out
    assert run(text, "ImportSchemaGen", "run-2") == 0
    assert "ImportSchemaGen cached" in capsys.readouterr().out
    with database.PatientMetadata(connection) as handle:
        uris = [
            lineage.run_outputs(handle, NAME, run_id, ["ImportSchemaGen"])["ImportSchemaGen"]["schema"].uri
            for run_id in ("run-1", "run-2")
        ]
    assert uris[0] == uris[1] and pathlib.Path(uris[0], "schema.pbtxt").is_file()


def test_the_runs_parameters_reach_the_node_and_its_fault_is_the_last_line(text, connection, capsys):
    assert run(text, "CaptionIngest", "run-1", "--param", "data_dir", "/no/such/data") == 1
    said = capsys.readouterr()
    assert "Traceback" in said.out  # in the log
    [line] = said.err.strip().splitlines()[-1:]
    assert line.startswith("CaptionIngest failed: ") and "/no/such/data" in line


def test_a_node_whose_inputs_are_missing_fails(text, connection, capsys):
    assert run(text, "Trainer", "run-1") == 1
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("Trainer failed: Trainer could not be started: its inputs were not found")
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--param", "trainer_epochs", "many"], "ImportSchemaGen failed: trainer_epochs: 'many' is not of type int"),
        ([], "ImportSchemaGen failed: METADATA_HOST, METADATA_PORT"),
    ],
)
def test_what_can_not_be_run_is_one_line(text, monkeypatch, capsys, arguments, message):
    for part in ("HOST", "PORT", "DATABASE", "USER", "PASSWORD"):
        monkeypatch.delenv(f"METADATA_{part}", raising=False)
    assert run(text, "ImportSchemaGen", "run-1", *arguments) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith(message)


def test_a_graph_of_other_code_is_not_run(text, connection, capsys):
    assert run("other" + text, "ImportSchemaGen", "run-1") == 1
    assert "the pipeline was compiled from code other" in capsys.readouterr().err
    assert not pathlib.Path(connection.sqlite.filename_uri).exists()


@pytest.mark.parametrize("writable", [True, False])
def test_temporary_files_go_to_the_volume_where_there_is_no_other_place(tmp_path, monkeypatch, writable):
    def found() -> str:
        if not writable:
            raise FileNotFoundError("No usable temporary directory found")
        return "/tmp"

    monkeypatch.setenv("TMPDIR", "/elsewhere")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "gettempdir", found)
    run_node._use_scratch(str(tmp_path / "scratch"))
    assert os.environ["TMPDIR"] == ("/elsewhere" if writable else str(tmp_path / "scratch"))
    assert (tmp_path / "scratch").exists() is not writable


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("the cause\nmore"), "the cause"),
        (ValueError(""), "ValueError"),
        (RuntimeError("Traceback (most recent call last):\n  File\nKeyError: 'x'"), "KeyError: 'x'"),
    ],
)
def test_a_cause_is_one_line(error, line):
    assert run_node._one_line(error) == line
