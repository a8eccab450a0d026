import pytest
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from pipeline import database
from pipeline.errors import DatabaseError
from pipeline.mysql_database import RetryingMetadata
from pipeline.paths import Paths
from tests.fake_mlmd import sqlite_connection

PASSWORD = "the-secret-word"
ENVIRONMENT = {"METADATA_USER": "captions", "METADATA_PASSWORD": PASSWORD}


def test_the_connection_to_a_file_opens_and_creates_it(tmp_path):
    connection = database.connection_of(Paths(str(tmp_path)).metadata_uri)
    assert connection == sqlite_connection(tmp_path)
    with database.new_handle(connection, {}) as handle:
        assert type(handle) is metadata.Metadata and handle.store.get_artifact_types() == []
    assert [path.name for path in tmp_path.iterdir()] == ["metadata.sqlite"]


def test_the_connection_to_a_server_has_user_and_password_in_the_handle_alone():
    connection = database.connection_of("mysql://db:3307/mlmd")
    handle = database.new_handle(connection, ENVIRONMENT | {"PATH": "/bin"})
    assert isinstance(handle, RetryingMetadata)
    mysql = handle.connection_config.mysql
    values = (mysql.host, mysql.port, mysql.database, mysql.user, mysql.password)
    assert values == ("db", 3307, "mlmd", "captions", PASSWORD)
    assert (connection.mysql.user, connection.mysql.password) == ("", "")


@pytest.mark.parametrize("missing", [["METADATA_USER"], ["METADATA_PASSWORD"], ["METADATA_USER", "METADATA_PASSWORD"]])
def test_missing_variables_are_named(missing):
    environment = {key: value for key, value in ENVIRONMENT.items() if key not in missing}
    message = f"^{', '.join(missing)} not set: ML Metadata at mysql://db:3306/mlmd needs .*its Secret$"
    for use in (database.new_handle, database.prepare):
        with pytest.raises(DatabaseError, match=message) as caught:
            use(database.connection_of("mysql://db/mlmd"), environment)
        assert PASSWORD not in str(caught.value)


def test_metadata_is_opened_where_something_has_run(tmp_path):
    MetadataStore(sqlite_connection(tmp_path)).put_artifact_type(metadata_store_pb2.ArtifactType(name="Image"))
    with database.open_metadata(Paths(str(tmp_path)).metadata_uri) as handle:
        assert [each.name for each in handle.store.get_artifact_types() if each.name == "Image"] == ["Image"]


def test_where_nothing_has_run_nothing_is_created(tmp_path):
    message = r"^nothing has run in {} yet: name the root of a run with --root, .*--set metadata=URI$"
    places = {Paths(str(tmp_path)).metadata_uri: tmp_path, f"sqlite:///{tmp_path}/a.sqlite": tmp_path / "a.sqlite"}
    for uri, place in places.items():
        with pytest.raises(DatabaseError, match=message.format(place)), database.open_metadata(uri):
            pass
    assert not list(tmp_path.iterdir())
