"""Connections to a server: creation, access, schemas, outages, several processes at once."""

import multiprocessing
import sys
import threading

import pytest
from captions_kubeflow import compiler, graph, run_node
from ml_metadata.proto import metadata_store_pb2

from components.shared.mlmd.runs import node_executions, runs_of
from pipeline import mysql_database
from pipeline.cli.main import main
from pipeline.config_files import load
from pipeline.database import connection_of, new_handle, open_metadata, prepare
from pipeline.errors import DatabaseError

IMAGE = metadata_store_pb2.ArtifactType(name="Image")
NUM_PROCESSES, PROCESS_SECONDS = 4, 120


def type_names(uri: str) -> list[str]:
    with open_metadata(uri) as handle:
        return [each.name for each in handle.store.get_artifact_types()]


def test_a_database_is_created_by_the_first_run_and_by_no_other_command(server, database, uri, tmp_path, capsys):
    assert main(["compare", "--root", str(tmp_path), "--set", f"metadata={uri}"]) == 2
    assert f"error: nothing has run in {uri} yet: name the root" in capsys.readouterr().err
    assert database not in server.sql("SHOW DATABASES")
    server.sql(f"CREATE DATABASE {database}")
    with pytest.raises(DatabaseError, match="nothing has run in"):
        type_names(uri)
    assert server.sql(f"SHOW TABLES IN {database}") == ""
    assert prepare(connection_of(uri)) is None
    assert type_names(uri) == []


@pytest.mark.parametrize("variable", ["METADATA_USER", "METADATA_PASSWORD"])
def test_denied_access_is_one_line_at_once(uri, variable, monkeypatch):
    monkeypatch.setenv(variable, "wrong")
    for use in (type_names, lambda uri: prepare(connection_of(uri))):
        with pytest.raises(DatabaseError, match=r"^mysql://127.0.0.1:\d+/test_\w+ denies access to user \w+: check M"):
            use(uri)


def test_a_database_that_the_user_may_not_use_is_denied(server, tmp_path, capsys):
    assert main(["stats", "--root", str(tmp_path), "--set", f"metadata={server.uri('mysql')}"]) == 2
    assert "/mysql denies access to user captions: check METADATA_USER" in capsys.readouterr().err


@pytest.mark.parametrize(("change", "version"), [(-1, "an older"), (1, "a newer")])
def test_a_schema_of_another_version_is_refused_and_left_as_it_is(server, database, uri, change, version):
    prepare(connection_of(uri))
    server.sql(f"UPDATE {database}.MLMDEnv SET schema_version = schema_version + {change}")
    before = server.dump(database)
    for use in (type_names, lambda uri: prepare(connection_of(uri))):
        with pytest.raises(DatabaseError, match=f"/{database} was written by {version} TFX: use that one, or another"):
            use(uri)
    assert server.dump(database).splitlines()[:-1] == before.splitlines()[:-1]  # the last line has the time


def test_a_damaged_schema_is_one_line(server, database, uri, monkeypatch):
    monkeypatch.setattr(mysql_database, "START_TIMEOUT", 0.1)  # it could be one that is being created
    prepare(connection_of(uri))
    server.sql(f"DROP TABLE {database}.Artifact")
    with pytest.raises(DatabaseError, match=f"/{database} fails since 0 s .*missing tables"):
        type_names(uri)


def test_a_server_that_is_away_is_reported_in_one_line(server, uri, monkeypatch, capsys):
    monkeypatch.setattr(mysql_database, "START_TIMEOUT", 0.1)
    server.stop()
    try:
        for use in (type_names, lambda uri: prepare(connection_of(uri))):
            with pytest.raises(
                DatabaseError, match=r"fails since 0 s \(Can't connect to .*refused\)\): check that the"
            ):
                use(uri)
    finally:
        server.start()


def test_a_server_that_is_started_again_meanwhile_is_waited_for(server, uri):
    prepare(connection_of(uri))
    with new_handle(connection_of(uri)) as handle:
        handle.store.put_artifact_type(IMAGE)
        server.stop()
        restart = threading.Thread(target=server.start)
        restart.start()
        assert [each.name for each in handle.store.get_artifact_types()] == ["Image"]
        restart.join()
    server.stop()
    restart = threading.Thread(target=server.start)
    restart.start()
    assert type_names(uri) == ["Image"]
    restart.join()


def at_once(function, arguments: list[tuple]) -> list[int]:
    """Calls a function in processes of their own, at the same moment; returns their exit codes."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=function, args=values) for values in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PROCESS_SECONDS)
        process.kill()
        process.join()
    return [process.exitcode for process in processes]


def test_several_processes_create_the_schema_at_once(uri):
    assert at_once(prepare, [(connection_of(uri),)] * NUM_PROCESSES) == [0] * NUM_PROCESSES
    assert type_names(uri) == []


def test_several_runs_record_at_once(uri, tmp_path):
    """The real launcher, on a database that does not exist yet: types and contexts are created once."""
    settings = load(None, [f"root={tmp_path}", "name=captions-test"])
    text = graph.to_text(compiler.compile_graph(settings)[0])
    runs = [f"run-{number}" for number in range(2 * NUM_PROCESSES)]
    assert at_once(_run_step, [(text, uri, run) for run in runs]) == [0] * len(runs)
    with open_metadata(uri) as handle:
        assert sorted(run.name for run in runs_of(handle.store, "captions-test")) == runs
        executions = node_executions(handle.store, "captions-test", "ImportSchemaGen")
        assert len(executions) == len(runs)
        states = {execution.last_known_state for execution in executions}
        assert states <= {metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED}
        assert len(handle.store.get_contexts_by_type("pipeline")) == 1


def _run_step(text: str, uri: str, run_id: str) -> None:
    arguments = ["--graph", text, "--metadata", uri, "--node", "ImportSchemaGen", "--run-id", run_id]
    sys.exit(run_node.main(arguments))
