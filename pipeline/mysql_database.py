"""ML Metadata on a MySQL or MariaDB server: retries while it is unavailable, and messages that contain no secret."""

import contextlib
import re
from typing import NoReturn

import pymysql
import tenacity
from absl import logging
from ml_metadata import MetadataStore, errors
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from pipeline.errors import DatabaseError
from pipeline.metadata_uri import MysqlDatabase

RETRY_TIMEOUT = 300.0  # maximum seconds to retry while the database is unavailable
START_TIMEOUT = 30.0  # the same before anything runs, when somebody waits for an answer
# MLMD reports the server's errors only by the server's messages, and a refused connection without any
_NO_CONNECTION = "mysql_real_connect failed"
_TRANSIENT = re.compile(
    f"{_NO_CONNECTION}|Lost connection to|server has gone away|Can't connect to|retry transaction|Aborted"
    "|concurrent connection to the empty database"
)
# error codes of MariaDB and MySQL
_DENIED = (1044, 1045, 1142, 1698)  # no right to the database or a table, wrong password
_UNKNOWN = (1049, 1146)  # no such database, no such table


def label(connection: metadata_store_pb2.ConnectionConfig) -> str:
    """The URI of a database."""
    return str(MysqlDatabase(connection.mysql.host, connection.mysql.port, connection.mysql.database))


class RetryingStore(MetadataStore):
    """A store that retries while the database is unavailable."""

    def _call_method(self, method_name, request, response) -> None:
        try:
            for attempt in _attempts(RETRY_TIMEOUT):
                with attempt:
                    if attempt.retry_state.attempt_number > 1:
                        self.__init__(self._config)  # type: ignore[misc]  # a lost connection stays lost
                    super()._call_method(method_name, request, response)
        except Exception as error:
            if not _is_transient(error):
                raise
            _explain(self._config, error, RETRY_TIMEOUT)


class RetryingMetadata(metadata.Metadata):
    """TFX's handle on a `RetryingStore`."""

    def __enter__(self) -> "RetryingMetadata":
        if self._users == 0:
            self._store = _connect(self._connection_config, RETRY_TIMEOUT)
        self._users += 1
        return self


def prepare(connection: metadata_store_pb2.ConnectionConfig) -> None:
    """Checks that a database can be used, and creates what is missing.

    Raises:
      DatabaseError: there is no connection, no access, or the schema is of another version.
    """
    _connect(connection, START_TIMEOUT)


def exists(connection: metadata_store_pb2.ConnectionConfig) -> bool:
    """Whether there is a database, and ML Metadata in it; nothing is created.

    Raises:
      DatabaseError: there is no connection, or no access.
    """
    try:
        for attempt in _attempts(START_TIMEOUT):
            with attempt, contextlib.closing(_ask(connection)) as server, server.cursor() as cursor:
                cursor.execute("SELECT schema_version FROM MLMDEnv")
                return True
    except pymysql.MySQLError as error:
        if error.args and error.args[0] in _UNKNOWN:
            return False
        _explain(connection, error, START_TIMEOUT)
    raise AssertionError("the last attempt raises")


def _connect(connection: metadata_store_pb2.ConnectionConfig, timeout: float) -> RetryingStore:
    try:
        for attempt in _attempts(timeout):
            with attempt:
                try:
                    return RetryingStore(connection)
                except Exception as error:  # MLMD raises RuntimeError, or an error of its own
                    raise _cause(connection, error) from None
    except DatabaseError:
        raise
    except Exception as error:
        _explain(connection, error, timeout)
    raise AssertionError("the last attempt raises")


def _cause(connection: metadata_store_pb2.ConnectionConfig, error: Exception) -> Exception:
    """Asks the server itself why there is no connection, which MLMD does not say.

    Raises:
      DatabaseError: the server denies access.
    """
    if _NO_CONNECTION not in str(error) and "Access denied" not in str(error):
        return error
    try:
        _ask(connection).close()
    except pymysql.MySQLError as cause:
        return cause if _is_transient(cause) else error
    if "Access denied" in str(error):
        return error
    # or else it was started between the two attempts
    return RuntimeError(
        f"{_NO_CONNECTION}, though the server answers: it may require TLS or caching_sha2_password, which ML "
        "Metadata's client lacks"
    )


def _ask(connection: metadata_store_pb2.ConnectionConfig) -> pymysql.Connection:
    """Connects without MLMD.

    Raises:
      DatabaseError: the server denies access.
      pymysql.MySQLError: any other reason.
    """
    server = connection.mysql
    try:
        return pymysql.connect(
            host=server.host, port=server.port, user=server.user, password=server.password, database=server.database
        )
    except pymysql.MySQLError as error:
        if error.args and error.args[0] in _DENIED:
            raise DatabaseError(
                f"{label(connection)} denies access to user {server.user}: check METADATA_USER and METADATA_PASSWORD, "
                "which a step of a cluster has from the keys `user` and `password` of the Secret"
            ) from None
        raise
    except RuntimeError as error:  # a package for the server's kind of authentication is missing
        raise pymysql.OperationalError(0, str(error)) from None


def _explain(connection: metadata_store_pb2.ConnectionConfig, error: Exception, timeout: float) -> NoReturn:
    """Raises what there is to say about an error that was not, or not any longer, worth a retry."""
    place, cause = label(connection), _first_line(error)
    if _is_transient(error):
        raise DatabaseError(
            f"{place} fails since {timeout:.0f} s ({cause}): check that the server runs, and its address (metadata), "
            "then run again"
        ) from None
    for text, version in (("older than library version", "an older"), ("greater than library version", "a newer")):
        if text in str(error):
            raise DatabaseError(f"{place} was written by {version} TFX: use that one, or another database") from None
    raise DatabaseError(f"{place} cannot be used ({cause}): mend the database, or use another one") from None


def _attempts(timeout: float) -> tenacity.Retrying:
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_transient),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
        stop=tenacity.stop_after_delay(timeout),
        before_sleep=_warn,
        reraise=True,
    )


def _is_transient(error: BaseException) -> bool:
    """Whether a retry may succeed: the server is unavailable, or two steps created the schema at the same time."""
    if isinstance(error, DatabaseError):
        return False
    return isinstance(error, errors.AbortedError) or _TRANSIENT.search(str(error)) is not None


def _warn(state: tenacity.RetryCallState) -> None:
    if state.outcome and (error := state.outcome.exception()):
        logging.warning("ML Metadata: %s; retrying", _first_line(error))


def _first_line(error: BaseException) -> str:
    text = str(error.args[1]) if isinstance(error, pymysql.MySQLError) and len(error.args) > 1 else str(error)
    return (text or type(error).__name__).splitlines()[0]
