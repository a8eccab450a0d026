"""ML Metadata in a file of SQLite, which is upgraded where an older version has written it."""

import contextlib
import itertools
import os
import re
import shutil
import sqlite3

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.shared import storage
from pipeline.errors import DatabaseError

LOCK_TIMEOUT = 5.0  # seconds to wait for a lock; runs hold it for milliseconds


def prepare(connection: metadata_store_pb2.ConnectionConfig) -> str | None:
    """Checks a database, and upgrades one with an older schema, of which a copy is kept.

    Args:
      connection: the connection to an SQLite file; where there is no file yet, there is nothing to do.

    Returns:
      the path of the copy if the schema was upgraded, else None.

    Raises:
      DatabaseError: another process keeps it locked, its schema is newer than this ML Metadata knows or cannot be
        upgraded, or the file is not a database of ML Metadata.
    """
    path = connection.sqlite.filename_uri
    if not os.path.exists(path):
        return None
    _check_lock(path)
    try:
        MetadataStore(connection)
        return None
    except Exception as error:  # MLMD's own types differ from cause to cause
        cause = _cause(error)
    if "older than library version" in cause:
        return _upgrade(path)
    if "greater than library version" in cause:
        raise DatabaseError(f"{path} was written by a newer TFX than this one: use that one, or another --root")
    raise DatabaseError(f"{path} cannot be used ({cause}): move it away, or use another --root")


def _check_lock(path: str) -> None:
    """Refuses a locked database, which ML Metadata reports as it does a damaged one, after half a minute."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=LOCK_TIMEOUT, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
    except sqlite3.Error as error:
        if "locked" in str(error):
            process = _locking_process(path)
            raise DatabaseError(
                f"{path} is in use{f' by process {process}' if process else ''}: try again when that has ended"
            ) from None
        # anything else is ML Metadata's to report


def _locking_process(path: str) -> str:
    """The process that has locked a file, as "123 (python)"; empty where the system does not say."""
    inode = os.stat(path).st_ino
    with contextlib.suppress(OSError), open("/proc/locks") as locks:
        for pid in re.findall(rf"WRITE +(\d+) +\w+:\w+:{inode} ", locks.read()):
            with open(f"/proc/{pid}/comm") as name:
                return f"{pid} ({name.read().strip()})"
    return ""


def _upgrade(path: str) -> str:
    """Upgrades a copy and puts it in the place of the old file, which is kept."""
    names = itertools.chain([f"{path}.before-upgrade"], (f"{path}.before-upgrade-{n}" for n in itertools.count(2)))
    kept = next(name for name in names if not os.path.exists(name))
    try:
        with storage.atomic_write(kept) as partial:
            shutil.copyfile(path, partial)
        with storage.atomic_write(path) as partial:
            shutil.copyfile(path, partial)
            sqlite = metadata_store_pb2.SqliteMetadataSourceConfig(filename_uri=partial)
            MetadataStore(metadata_store_pb2.ConnectionConfig(sqlite=sqlite), enable_upgrade_migration=True)
    except Exception as error:  # MLMD's own types, or OSError
        storage.remove(kept)
        raise DatabaseError(
            f"{path} cannot be upgraded ({_cause(error)}) and was left as it is: use the TFX that wrote it, or another "
            "--root"
        ) from None
    return kept


def _cause(error: Exception) -> str:
    """The message of an error in one line, without MLMD's SQL."""
    return (str(error) or type(error).__name__).partition(" query:")[0].splitlines()[0]
