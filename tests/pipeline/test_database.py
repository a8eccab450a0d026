import contextlib
import sqlite3

import pytest
from ml_metadata import MetadataStore, downgrade_schema
from ml_metadata.proto import metadata_store_pb2

from pipeline import database


@pytest.fixture
def connection(tmp_path):
    sqlite = metadata_store_pb2.SqliteMetadataSourceConfig(filename_uri=str(tmp_path / "metadata.sqlite"))
    return metadata_store_pb2.ConnectionConfig(sqlite=sqlite)


@pytest.fixture
def filled(connection):
    """A database that knows one type of artifact."""
    MetadataStore(connection).put_artifact_type(metadata_store_pb2.ArtifactType(name="Picture"))
    return connection


def schema_version(path: str) -> int:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT schema_version FROM MLMDEnv").fetchone()[0]


def type_names(connection) -> list[str]:
    return [each.name for each in MetadataStore(connection).get_artifact_types()]


def test_a_new_one_and_a_current_one_are_left_alone(connection, tmp_path):
    assert database.prepare(connection) is None
    assert not list(tmp_path.iterdir())
    MetadataStore(connection)
    before = (tmp_path / "metadata.sqlite").read_bytes()
    assert database.prepare(connection) is None
    assert (tmp_path / "metadata.sqlite").read_bytes() == before


def test_an_older_one_is_upgraded_and_a_copy_is_kept(filled):
    path = filled.sqlite.filename_uri
    current = schema_version(path)
    downgrade_schema(filled, current - 1)
    copy = database.prepare(filled)
    assert (schema_version(path), schema_version(copy)) == (current, current - 1)
    assert "Picture" in type_names(filled)
    assert database.prepare(filled) is None


def test_a_newer_one_is_refused_untouched(filled):
    path = filled.sqlite.filename_uri
    with contextlib.closing(sqlite3.connect(path)) as newer:
        newer.execute("UPDATE MLMDEnv SET schema_version = schema_version + 1")
        newer.commit()
    version = schema_version(path)
    with pytest.raises(database.DatabaseError, match=r"written by a newer TFX than this one: .* another --root"):
        database.prepare(filled)
    assert schema_version(path) == version


def test_what_is_no_database_is_refused_untouched(connection, tmp_path):
    (tmp_path / "metadata.sqlite").write_text("no database\n" * 100)
    with pytest.raises(database.DatabaseError, match=r"metadata.sqlite can't be used \(.+\): move it away"):
        database.prepare(connection)
    assert (tmp_path / "metadata.sqlite").read_text() == "no database\n" * 100
