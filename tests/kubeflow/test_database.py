"""Absences and refusals of a database, as MLMD tells of them. A real server goes away in tests/cluster."""

from unittest import mock

import pymysql
import pytest
import tenacity
from captions_kubeflow import database
from ml_metadata import MetadataStore, errors
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

PASSWORD = "the-secret-word"
ENVIRONMENT = {
    "METADATA_HOST": "db",
    "METADATA_PORT": "3307",
    "METADATA_DATABASE": "mlmd",
    "METADATA_USER": "captions",
    "METADATA_PASSWORD": PASSWORD,
}
# MLMD's own words, which are the same in both sets
LOST = (
    "mysql_query failed: errno: Lost connection to MySQL server during query, "
    "error: Lost connection to MySQL server during query"
)
NO_CONNECTION = "mysql_real_connect failed: errno: , error: "  # whether nobody answers or the password is wrong
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
    """The pauses that would have been made."""
    made: list[float] = []
    monkeypatch.setattr(tenacity.nap.time, "sleep", made.append)
    return made


@pytest.fixture
def connection(tmp_path) -> metadata_store_pb2.ConnectionConfig:
    """A file stands in for the server: what it holds outlives a connection."""
    sqlite = metadata_store_pb2.SqliteMetadataSourceConfig(
        filename_uri=str(tmp_path / "metadata.sqlite"),
        connection_mode=metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE,
    )
    return metadata_store_pb2.ConnectionConfig(sqlite=sqlite)


@pytest.fixture
def answers(monkeypatch) -> list[Exception | None]:
    """What MLMD is to raise at the next calls; None, and after the last, it does as it is told."""
    planned: list[Exception | None] = []
    real = MetadataStore._call_method

    def call(self, *arguments):
        if planned and (fault := planned.pop(0)):
            raise fault
        real(self, *arguments)

    monkeypatch.setattr(MetadataStore, "_call_method", call)
    return planned


@pytest.fixture
def connections(monkeypatch) -> list[Exception | None]:
    """What MLMD is to raise when it connects; afterwards as `answers`, and how often it did is the attribute `made`."""

    class Planned(list):
        made = 0

    planned = Planned()
    real = MetadataStore.__init__

    def connect(self, *arguments):
        planned.made += 1
        if planned and (fault := planned.pop(0)):
            raise fault
        real(self, *arguments)

    monkeypatch.setattr(MetadataStore, "__init__", connect)
    return planned


def test_the_connection_is_the_environments():
    mysql = database.connection_from(ENVIRONMENT | {"PATH": "/bin"}).mysql
    found = (mysql.host, mysql.port, mysql.database, mysql.user, mysql.password)
    assert found == ("db", 3307, "mlmd", "captions", PASSWORD)


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_missing_variable_is_named(name):
    environment = {key: value for key, value in ENVIRONMENT.items() if key != name}
    with pytest.raises(database.DatabaseError, match=f"^{name} not set: .*its Secret") as caught:
        database.connection_from(environment)
    assert PASSWORD not in str(caught.value)


def test_all_missing_variables_are_named():
    with pytest.raises(database.DatabaseError, match=r"METADATA_HOST, .*METADATA_PASSWORD not set"):
        database.connection_from({})


def test_the_store_asks_again_on_a_new_connection(connection, answers, connections, pauses):
    store = database.PatientStore(connection)
    answers += [errors.InternalError(LOST), errors.InternalError(NO_CONNECTION)]
    store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Picture"))
    assert (len(pauses), connections.made) == (2, 3)
    assert [each.name for each in store.get_artifact_types()][-1:] == ["Picture"]
    assert connections.made == 3


def test_a_reconnection_may_take_more_than_one_try(connection, answers, connections, pauses):
    store = database.PatientStore(connection)
    answers.append(errors.InternalError(LOST))
    connections += [RuntimeError(NO_CONNECTION), RuntimeError(NO_CONNECTION)]
    store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Picture"))
    assert len(pauses) == 3


@pytest.mark.parametrize(
    "fault",
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
def test_what_may_pass_is_asked_again(connection, answers, pauses, fault):
    store = database.PatientStore(connection)
    answers.append(fault)
    store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Picture"))
    assert len(pauses) == 1


@pytest.mark.parametrize(
    "fault",
    [
        errors.InvalidArgumentError("no such type"),
        errors.InternalError("mysql_query failed: errno: You have an error in your SQL syntax"),
    ],
)
def test_what_stays_wrong_is_raised_at_once(connection, answers, pauses, fault):
    store = database.PatientStore(connection)
    answers.append(fault)
    with pytest.raises(type(fault), match=str(fault)):
        store.get_artifact_types()
    assert pauses == []


def test_patience_ends(connection, answers, pauses, monkeypatch):
    store = database.PatientStore(connection)
    monkeypatch.setattr(database, "PATIENCE", 0.0)
    answers += [errors.InternalError(LOST)] * 9
    with pytest.raises(errors.InternalError, match="Lost connection"):
        store.get_artifact_types()
    assert pauses == []


def test_the_pauses_grow_and_are_never_long(connection, answers, pauses):
    store = database.PatientStore(connection)
    answers += [errors.InternalError(LOST)] * 40
    store.get_artifact_types()
    assert len(pauses) == 40 and max(pauses) <= 10
    assert max(pauses[:2]) <= 1 < max(pauses)


def test_a_server_that_is_not_there_yet_is_waited_for(connection, connections, pauses, server):
    connections += [RuntimeError(NO_CONNECTION), RuntimeError(AT_ONCE)]
    with database.PatientMetadata(connection) as handle:
        assert isinstance(handle.store, database.PatientStore)
        assert handle.store.get_artifact_types() == []
    assert len(pauses) == 2


def test_a_handle_is_tfxs_and_entered_twice_it_connects_once(connection, connections):
    handle = database.PatientMetadata(connection)
    assert isinstance(handle, metadata.Metadata)
    with handle, handle:
        assert handle.store is not None
    assert connections.made == 1
    with pytest.raises(RuntimeError):
        handle.store.get_artifact_types()


def test_each_warning_is_one_line_with_the_cause(connection, answers, pauses, monkeypatch):
    said = []
    monkeypatch.setattr(database.logging, "warning", lambda text, *values: said.append(text % values))
    store = database.PatientStore(connection)
    answers.append(errors.InternalError(f"{LOST}\nthe query"))
    store.get_artifact_types()
    assert said == [f"ML Metadata: {LOST}; asking again"]


@pytest.fixture
def server(monkeypatch) -> mock.Mock:
    """The server, as PyMySQL meets it."""
    connect = mock.create_autospec(pymysql.connect)
    monkeypatch.setattr(pymysql, "connect", connect)
    return connect


@pytest.mark.parametrize(("message", "code"), [(NO_CONNECTION, 1045), (NO_CONNECTION, 1698), (DENIED, 1044)])
def test_a_wrong_password_is_said_once_and_not_shown(connections, pauses, server, message, code):
    connections.append(RuntimeError(message))
    server.side_effect = pymysql.err.OperationalError(code, "Access denied for user 'captions'@'10.0.0.7'")
    with (
        pytest.raises(database.DatabaseError) as caught,
        database.PatientMetadata(database.connection_from(ENVIRONMENT)),
    ):
        pass
    text = str(caught.value)
    assert text == (
        "db:3307 does not let user captions into the database mlmd: see the keys `user` and `password` of the Secret"
    )
    assert caught.value.__suppress_context__
    assert pauses == [] and connections.made == 1
    server.assert_called_once_with(host="db", port=3307, user="captions", password=PASSWORD, database="mlmd")


def test_a_server_that_does_not_answer_is_asked_again(connections, pauses, server, monkeypatch):
    connections += [RuntimeError(NO_CONNECTION)] * 3 + [RuntimeError("of another kind")]
    server.side_effect = pymysql.err.OperationalError(2003, "Can't connect to MySQL server on 'db'")
    with (
        pytest.raises(RuntimeError, match="of another kind"),
        database.PatientMetadata(database.connection_from(ENVIRONMENT)),
    ):
        pass
    assert (len(pauses), server.call_count) == (3, 3)


def test_another_fault_of_a_connection_is_raised_as_it_is(connection, connections, pauses):
    connections.append(RuntimeError("the schema is newer than this library"))
    with pytest.raises(RuntimeError, match="the schema is newer"), database.PatientMetadata(connection):
        pass
    assert pauses == []
