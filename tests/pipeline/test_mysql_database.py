"""Outages and rejections of a database, as MLMD reports them. tests/mysql stops a real server."""

from unittest import mock

import pymysql
import pytest
import tenacity
from ml_metadata import MetadataStore, errors
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from pipeline import mysql_database
from pipeline.errors import DatabaseError
from tests.fake_mlmd import sqlite_connection

PASSWORD = "the-secret-word"
SERVER = metadata_store_pb2.ConnectionConfig(
    mysql=metadata_store_pb2.MySQLDatabaseConfig(
        host="db", port=3307, database="mlmd", user="captions", password=PASSWORD
    )
)
# messages of MLMD, the same in both sets of packages
LOST = (
    "mysql_query failed: errno: Lost connection to MySQL server during query, "
    "error: Lost connection to MySQL server during query"
)
NO_CONNECTION = "mysql_real_connect failed: errno: , error: "  # for an unreachable server and for a wrong password
DENIED = (
    "Creating database mlmd in ConnectImplmysql_query failed: errno: Access denied for user 'captions'@'%' to database "
    "'mlmd', error: Access denied for user 'captions'@'%' to database 'mlmd'"
)
AT_ONCE = (
    "There are a subset of tables in MLMD instance. This may be due to concurrent connection to the empty database. "
    "Please retry the connection. checks: 15 errors: 14, present tables: type_table, missing tables: parent_type_table"
)


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """Seconds of the pauses that were skipped."""
    seconds: list[float] = []
    monkeypatch.setattr(tenacity.nap.time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def connection(tmp_path) -> metadata_store_pb2.ConnectionConfig:
    """A file instead of a server: its content outlives a connection."""
    return sqlite_connection(tmp_path)


@pytest.fixture
def call_errors(monkeypatch) -> list[Exception | None]:
    """Errors for MLMD to raise in the next calls; a call succeeds for None, and after the last one."""
    planned: list[Exception | None] = []
    real = MetadataStore._call_method

    def call(self, *arguments):
        if planned and (error := planned.pop(0)):
            raise error
        real(self, *arguments)

    monkeypatch.setattr(MetadataStore, "_call_method", call)
    return planned


@pytest.fixture
def connection_errors(monkeypatch) -> list[Exception | None]:
    """Errors for MLMD to raise in the next connections; their number is the attribute `num_connections`."""

    class Planned(list):
        num_connections = 0

    planned = Planned()
    real = MetadataStore.__init__

    def connect(self, *arguments):
        planned.num_connections += 1
        if planned and (error := planned.pop(0)):
            raise error
        real(self, *arguments)

    monkeypatch.setattr(MetadataStore, "__init__", connect)
    return planned


def test_the_store_retries_on_a_new_connection(connection, call_errors, connection_errors, pauses):
    store = mysql_database.RetryingStore(connection)
    call_errors += [errors.InternalError(LOST), errors.InternalError(NO_CONNECTION)]
    store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Image"))
    assert (len(pauses), connection_errors.num_connections) == (2, 3)
    assert [kind.name for kind in store.get_artifact_types()][-1:] == ["Image"]
    assert connection_errors.num_connections == 3


def test_a_reconnection_may_take_more_than_one_try(connection, call_errors, connection_errors, pauses):
    store = mysql_database.RetryingStore(connection)
    call_errors.append(errors.InternalError(LOST))
    connection_errors += [RuntimeError(NO_CONNECTION), RuntimeError(NO_CONNECTION)]
    store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Image"))
    assert len(pauses) == 3


@pytest.mark.parametrize(
    "error",
    [
        errors.AbortedError("two steps at once"),
        RuntimeError(
            "Aborted: mysql_query aborted: Deadlock found when trying to get lock; try restarting transaction"
        ),
        errors.InternalError(
            "mysql_query failed: errno: MySQL server has gone away, error: MySQL server has gone away"
        ),
        errors.InternalError("errno: Table definition has changed, please retry transaction, error: "),
        RuntimeError(AT_ONCE),
    ],
)
def test_a_transient_error_is_retried(connection, call_errors, pauses, error):
    store = mysql_database.RetryingStore(connection)
    call_errors.append(error)
    store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Image"))
    assert len(pauses) == 1


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidArgumentError("no such type"),
        errors.InternalError("mysql_query failed: errno: You have an error in your SQL syntax"),
    ],
)
def test_a_permanent_error_is_raised_at_once(connection, call_errors, pauses, error):
    store = mysql_database.RetryingStore(connection)
    call_errors.append(error)
    with pytest.raises(type(error), match=str(error)):
        store.get_artifact_types()
    assert pauses == []


def test_retries_end_in_one_line(connection, call_errors, pauses, monkeypatch):
    store = mysql_database.RetryingStore(connection)
    monkeypatch.setattr(mysql_database, "RETRY_TIMEOUT", 0.0)
    call_errors += [errors.InternalError(f"{LOST}\nthe query")] * 9
    with pytest.raises(DatabaseError, match=r"fails since 0 s \(mysql_query failed: .*\): check that") as caught:
        store.get_artifact_types()
    assert pauses == [] and "the query" not in str(caught.value)


def test_the_pauses_grow_up_to_a_limit(connection, call_errors, pauses):
    store = mysql_database.RetryingStore(connection)
    call_errors += [errors.InternalError(LOST)] * 40
    store.get_artifact_types()
    assert len(pauses) == 40 and max(pauses) <= 10
    assert max(pauses[:2]) <= 1 < max(pauses)


def test_a_server_that_is_still_starting_is_waited_for(connection, connection_errors, pauses, server):
    connection_errors += [RuntimeError(NO_CONNECTION), RuntimeError(AT_ONCE)]
    with mysql_database.RetryingMetadata(connection) as handle:
        assert isinstance(handle.store, mysql_database.RetryingStore)
        assert handle.store.get_artifact_types() == []
    assert len(pauses) == 2


def test_a_handle_is_tfxs_and_entered_twice_it_connects_once(connection, connection_errors):
    handle = mysql_database.RetryingMetadata(connection)
    assert isinstance(handle, metadata.Metadata)
    with handle, handle:
        assert handle.store is not None
    assert connection_errors.num_connections == 1
    with pytest.raises(RuntimeError):
        handle.store.get_artifact_types()


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    """The warnings of the log."""
    lines: list[str] = []
    monkeypatch.setattr(mysql_database.logging, "warning", lambda text, *values: lines.append(text % values))
    return lines


def test_each_warning_is_one_line_with_the_cause(connection, call_errors, pauses, warnings):
    store = mysql_database.RetryingStore(connection)
    call_errors.append(errors.InternalError(f"{LOST}\nthe query"))
    store.get_artifact_types()
    assert warnings == [f"ML Metadata: {LOST}; retrying"]


@pytest.fixture
def server(monkeypatch) -> mock.Mock:
    """PyMySQL's function that connects to the server."""
    connect = mock.create_autospec(pymysql.connect)
    monkeypatch.setattr(pymysql, "connect", connect)
    return connect


@pytest.mark.parametrize(("message", "code"), [(NO_CONNECTION, 1045), (NO_CONNECTION, 1698), (DENIED, 1044)])
def test_a_wrong_password_is_reported_once_and_not_shown(connection_errors, pauses, server, message, code):
    connection_errors.append(RuntimeError(message))
    server.side_effect = pymysql.err.OperationalError(code, "Access denied for user 'captions'@'10.0.0.7'")
    with pytest.raises(DatabaseError) as caught, mysql_database.RetryingMetadata(SERVER):
        pass
    assert str(caught.value) == (
        "mysql://db:3307/mlmd denies access to user captions: check METADATA_USER and METADATA_PASSWORD, which a step "
        "of a cluster has from the keys `user` and `password` of the Secret"
    )
    assert caught.value.__suppress_context__
    assert pauses == [] and connection_errors.num_connections == 1
    server.assert_called_once_with(host="db", port=3307, user="captions", password=PASSWORD, database="mlmd")


def test_an_unreachable_server_is_retried_and_the_warning_says_why(connection_errors, pauses, server, warnings):
    connection_errors += [RuntimeError(NO_CONNECTION)] * 3 + [RuntimeError("of another kind")]
    server.side_effect = pymysql.err.OperationalError(2003, "Can't connect to MySQL server on 'db'")
    with (
        pytest.raises(DatabaseError, match=r"^mysql://db:3307/mlmd cannot be used \(of another kind\): mend"),
        mysql_database.RetryingMetadata(SERVER),
    ):
        pass
    assert (len(pauses), server.call_count) == (3, 3)
    assert warnings == ["ML Metadata: Can't connect to MySQL server on 'db'; retrying"] * 3


def test_a_server_that_takes_other_clients_only_is_reported_as_such(connection_errors, pauses, server, monkeypatch):
    monkeypatch.setattr(mysql_database, "START_TIMEOUT", 0.0)
    connection_errors.append(RuntimeError(NO_CONNECTION))
    message = r"^mysql://db:3307/mlmd fails since 0 s \(.*, though the server answers: it may require TLS or caching"
    with pytest.raises(DatabaseError, match=message):
        mysql_database.prepare(SERVER)
    server.assert_called_once()


def test_a_kind_of_authentication_that_needs_a_package_is_one_line(pauses, server):
    server.side_effect = RuntimeError("'cryptography' package is required for caching_sha2_password")
    with pytest.raises(DatabaseError, match=r"cannot be used \('cryptography' package is required .*\): mend"):
        mysql_database.exists(SERVER)
    assert pauses == []


def test_at_the_start_nobody_waits_for_long(connection_errors, pauses, server, monkeypatch):
    monkeypatch.setattr(mysql_database, "START_TIMEOUT", 0.0)
    connection_errors += [RuntimeError(NO_CONNECTION)] * 2
    server.side_effect = pymysql.err.OperationalError(2003, "Can't connect to MySQL server on 'db'")
    for check in (mysql_database.prepare, mysql_database.exists):
        with pytest.raises(DatabaseError, match=r"^mysql://db:3307/mlmd fails since 0 s \(Can't connect .*address"):
            check(SERVER)
    assert pauses == []


@pytest.mark.parametrize(("comparison", "version"), [("older", "an older"), ("greater", "a newer")])
def test_a_schema_of_another_version_is_reported_at_once(connection_errors, pauses, comparison, version):
    connection_errors.append(errors.FailedPreconditionError(f"schema is {comparison} than library version\nSQL"))
    with pytest.raises(DatabaseError, match=f"^mysql://db:3307/mlmd was written by {version} TFX: use that one"):
        mysql_database.prepare(SERVER)
    assert pauses == []
