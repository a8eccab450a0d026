"""The file of ML Metadata: whether this version of ML Metadata can use what another has written."""

import os
import shutil

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.atomic import whole_file


class DatabaseError(ValueError):
    """The database can't be used; the message says what to do."""


def prepare(connection: metadata_store_pb2.ConnectionConfig) -> str | None:
    """Checks a database, and upgrades one with an older schema, of which a copy is kept.

    Args:
      connection: of SQLite; where there is no file yet, there is nothing to do.

    Returns:
      the path of the copy where the schema was upgraded, else None.

    Raises:
      DatabaseError: the schema is newer than this ML Metadata knows, or the file is no database of ML Metadata's.
    """
    path = connection.sqlite.filename_uri
    if not os.path.exists(path):
        return None
    try:
        MetadataStore(connection)
        return None
    except Exception as error:  # MLMD's own kinds differ from fault to fault
        fault = str(error)
    if "older than library version" in fault:
        return _upgrade(path)
    if "greater than library version" in fault:
        raise DatabaseError(f"{path} was written by a newer TFX than this one: use that one, or another --root")
    cause = fault.partition(" query:")[0]
    raise DatabaseError(f"{path} can't be used ({cause}): move it away, or use another --root")


def _upgrade(path: str) -> str:
    """Upgrades a copy and puts it in the place of the old file, which is kept."""
    copy = f"{path}.before-upgrade"
    with whole_file(copy) as partial:
        shutil.copyfile(path, partial)
    with whole_file(path) as partial:
        shutil.copyfile(path, partial)
        sqlite = metadata_store_pb2.SqliteMetadataSourceConfig(filename_uri=partial)
        MetadataStore(metadata_store_pb2.ConnectionConfig(sqlite=sqlite), enable_upgrade_migration=True)
    return copy
