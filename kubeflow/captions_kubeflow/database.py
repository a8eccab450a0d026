"""ML Metadata on a database server: its address, and retries while it is unavailable."""

import re
from collections.abc import Mapping

import pymysql
import tenacity
from absl import logging
from ml_metadata import MetadataStore, errors
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

RETRY_TIMEOUT = 300.0  # maximum seconds to retry while the database is unavailable
# MLMD reports the server's errors only by the server's messages, and a refused connection without any
_NO_CONNECTION = "mysql_real_connect failed"
_TRANSIENT = re.compile(
    f"{_NO_CONNECTION}|Lost connection to|server has gone away|Can't connect to|retry transaction|Aborted"
    "|concurrent connection to the empty database"
)
_DENIED = (1044, 1045, 1698)  # error codes of MariaDB and MySQL: no right to the database, wrong password


class DatabaseError(RuntimeError):
    """The database can't be used; the message says why and contains no secret."""


def connection_from(environment: Mapping[str, str]) -> metadata_store_pb2.ConnectionConfig:
    """Builds the connection to the database.

    Args:
      environment: METADATA_HOST, _PORT, _DATABASE, and METADATA_USER and METADATA_PASSWORD from a Secret.

    Raises:
      DatabaseError: one of them is missing.
    """
    names = [f"METADATA_{part}" for part in ("HOST", "PORT", "DATABASE", "USER", "PASSWORD")]
    if missing := [name for name in names if name not in environment]:
        raise DatabaseError(f"{', '.join(missing)} not set: the step needs the database's address and its Secret")
    host, port, database, user, password = (environment[name] for name in names)
    return metadata_store_pb2.ConnectionConfig(
        mysql=metadata_store_pb2.MySQLDatabaseConfig(
            host=host, port=int(port), database=database, user=user, password=password
        )
    )


class RetryingStore(MetadataStore):
    """A store that retries while the database is unavailable."""

    def _call_method(self, method_name, request, response) -> None:
        for attempt in _attempts():
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    self.__init__(self._config)  # type: ignore[misc]  # a lost connection stays lost
                super()._call_method(method_name, request, response)


class RetryingMetadata(metadata.Metadata):
    """TFX's handle on a `RetryingStore`."""

    def __enter__(self) -> "RetryingMetadata":
        if self._users == 0:
            self._store = _connect(self._connection_config)
        self._users += 1
        return self


def _connect(connection: metadata_store_pb2.ConnectionConfig) -> RetryingStore:
    for attempt in _attempts():
        with attempt:
            try:
                return RetryingStore(connection)
            except Exception as error:  # MLMD raises RuntimeError, or an error of its own
                if _NO_CONNECTION in str(error) or "Access denied" in str(error):
                    _check_access(connection.mysql)
                raise
    raise AssertionError("the last attempt raises")


def _check_access(server: metadata_store_pb2.MySQLDatabaseConfig) -> None:
    """Asks the server itself why the connection failed.

    Raises:
      DatabaseError: the server denies access.
    """
    try:
        pymysql.connect(
            host=server.host, port=server.port, user=server.user, password=server.password, database=server.database
        ).close()
    except pymysql.MySQLError as error:
        if error.args and error.args[0] in _DENIED:
            raise DatabaseError(
                f"{server.host}:{server.port} denies user {server.user} access to database {server.database}: check "
                "the keys `user` and `password` of the Secret"
            ) from None


def _attempts() -> tenacity.Retrying:
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_transient),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
        stop=tenacity.stop_after_delay(RETRY_TIMEOUT),
        before_sleep=lambda state: logging.warning("ML Metadata: %s; retrying", _first_line(state)),
        reraise=True,
    )


def _is_transient(error: BaseException) -> bool:
    """Whether a retry may succeed: the server is unavailable, or two steps created the schema at the same time."""
    return isinstance(error, errors.AbortedError) or _TRANSIENT.search(str(error)) is not None


def _first_line(state: tenacity.RetryCallState) -> str:
    return str(state.outcome.exception()).splitlines()[0] if state.outcome else ""
