"""ML Metadata, wherever it is kept: a file of SQLite, or a database of a MySQL or MariaDB server."""

import contextlib
import os
from collections.abc import Iterator, Mapping

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.metadata import Metadata

from components.shared import tfx_filesystem
from pipeline import metadata_uri, mysql_database, sqlite_database
from pipeline.errors import DatabaseError
from pipeline.metadata_uri import MysqlDatabase, SqliteFile
from pipeline.paths import Paths

tfx_filesystem.register()  # what artifacts are asked about may lie in a bucket


def connection_of(uri: str) -> metadata_store_pb2.ConnectionConfig:
    """The connection to a database, without user and password: `new_handle` adds those.

    Args:
      uri: see `metadata_uri.parse`.
    """
    place = metadata_uri.parse(uri)
    if isinstance(place, SqliteFile):
        # TFX's own function of the kind makes directories, and this is to be a pure function
        sqlite = metadata_store_pb2.SqliteMetadataSourceConfig(
            filename_uri=place.path, connection_mode=metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        )
        return metadata_store_pb2.ConnectionConfig(sqlite=sqlite)
    mysql = metadata_store_pb2.MySQLDatabaseConfig(host=place.host, port=place.port, database=place.name)
    return metadata_store_pb2.ConnectionConfig(mysql=mysql)


def new_handle(
    connection: metadata_store_pb2.ConnectionConfig, environment: Mapping[str, str] = os.environ
) -> Metadata:
    """TFX's handle on a database; on a server, it retries while that is unavailable.

    Args:
      connection: the connection, of `connection_of`.
      environment: METADATA_USER and METADATA_PASSWORD, for a server.

    Raises:
      DatabaseError: one of them is missing.
    """
    if not connection.HasField("mysql"):
        return Metadata(connection)
    return mysql_database.RetryingMetadata(_with_credentials(connection, environment))


def prepare(connection: metadata_store_pb2.ConnectionConfig, environment: Mapping[str, str] = os.environ) -> str | None:
    """Checks before a run that a database can be used; upgrades a file with an older schema, of which a copy is kept.

    Args:
      connection: the connection, of `connection_of`.
      environment: METADATA_USER and METADATA_PASSWORD, for a server.

    Returns:
      the path of the copy if a file was upgraded, else None.

    Raises:
      DatabaseError: the database cannot be used; the message says why.
    """
    if not connection.HasField("mysql"):
        return sqlite_database.prepare(connection)
    mysql_database.prepare(_with_credentials(connection, environment))
    return None


@contextlib.contextmanager
def open_metadata(uri: str, environment: Mapping[str, str] = os.environ) -> Iterator[Metadata]:
    """Opens the ML Metadata of earlier runs. The schema of a file is upgraded first if need be.

    Args:
      uri: see `metadata_uri.parse`.
      environment: METADATA_USER and METADATA_PASSWORD, for a server.

    Raises:
      DatabaseError: nothing has run there yet, or the database cannot be used.
    """
    connection = connection_of(uri)
    if not _exists(connection, environment):
        raise DatabaseError(
            f"nothing has run in {_describe(metadata_uri.parse(uri))} yet: name the root of a run with --root, its "
            "settings with --config, or its database with --set metadata=URI"
        )
    prepare(connection, environment)
    with new_handle(connection, environment) as handle:
        yield handle


def _exists(connection: metadata_store_pb2.ConnectionConfig, environment: Mapping[str, str]) -> bool:
    if connection.HasField("sqlite"):
        return os.path.exists(connection.sqlite.filename_uri)
    return mysql_database.exists(_with_credentials(connection, environment))


def _describe(place: SqliteFile | MysqlDatabase) -> str:
    """The place for people: that of a root is the root."""
    if not isinstance(place, SqliteFile):
        return str(place)
    root = os.path.dirname(place.path)
    return root if Paths(root).metadata == place.path else place.path


def _with_credentials(
    connection: metadata_store_pb2.ConnectionConfig, environment: Mapping[str, str]
) -> metadata_store_pb2.ConnectionConfig:
    """The connection to a server, with the user and the password of the environment."""
    names = ("METADATA_USER", "METADATA_PASSWORD")
    if missing := [name for name in names if name not in environment]:
        raise DatabaseError(
            f"{', '.join(missing)} not set: ML Metadata at {mysql_database.label(connection)} needs user and password "
            "in the environment, a step of a cluster from its Secret"
        )
    user, password = (environment[name] for name in names)
    complete = metadata_store_pb2.ConnectionConfig()
    complete.CopyFrom(connection)
    complete.mysql.MergeFrom(metadata_store_pb2.MySQLDatabaseConfig(user=user, password=password))
    return complete
