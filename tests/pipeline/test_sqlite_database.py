import contextlib
import io
import os
import sqlite3

import pytest
from ml_metadata import MetadataStore, downgrade_schema
from ml_metadata.proto import metadata_store_pb2

from pipeline import sqlite_database
from pipeline.errors import DatabaseError
from tests.fake_mlmd import sqlite_connection


@pytest.fixture
def connection(tmp_path):
    return sqlite_connection(tmp_path)


@pytest.fixture
def filled(connection):
    """A database with one type of artifact."""
    MetadataStore(connection).put_artifact_type(metadata_store_pb2.ArtifactType(name="Image"))
    return connection


def schema_version(path: str) -> int:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT schema_version FROM MLMDEnv").fetchone()[0]


def type_names(connection) -> list[str]:
    return [each.name for each in MetadataStore(connection).get_artifact_types()]


def test_a_new_and_a_current_database_are_left_unchanged(connection, tmp_path):
    assert sqlite_database.prepare(connection) is None
    assert not list(tmp_path.iterdir())
    MetadataStore(connection)
    before = (tmp_path / "metadata.sqlite").read_bytes()
    assert sqlite_database.prepare(connection) is None
    assert (tmp_path / "metadata.sqlite").read_bytes() == before


def test_an_older_schema_is_upgraded_and_a_copy_is_kept(filled):
    path = filled.sqlite.filename_uri
    current = schema_version(path)
    downgrade_schema(filled, current - 1)
    copy = sqlite_database.prepare(filled)
    assert (schema_version(path), schema_version(copy)) == (current, current - 1)
    assert "Image" in type_names(filled)
    assert sqlite_database.prepare(filled) is None


def test_each_upgrade_keeps_a_copy_of_its_own(filled):
    path = filled.sqlite.filename_uri
    current = schema_version(path)
    copies = []
    for version in (current - 2, current - 1):
        downgrade_schema(filled, version)
        copies.append(sqlite_database.prepare(filled))
    assert copies == [f"{path}.before-upgrade", f"{path}.before-upgrade-2"]
    assert [schema_version(copy) for copy in copies] == [current - 2, current - 1]


def test_a_schema_that_can_not_be_upgraded_is_refused_unchanged(filled, tmp_path):
    path = filled.sqlite.filename_uri
    downgrade_schema(filled, schema_version(path) - 2)
    with contextlib.closing(sqlite3.connect(path)) as damaged:
        damaged.execute("DROP TABLE Type")
        damaged.commit()
    before = (tmp_path / "metadata.sqlite").read_bytes()
    with pytest.raises(DatabaseError, match=r"cannot be upgraded \(.+\) and was left as it is: use the TFX"):
        sqlite_database.prepare(filled)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"metadata.sqlite": before}


def test_a_locked_database_is_in_use_and_not_damaged(filled, monkeypatch):
    monkeypatch.setattr(sqlite_database, "LOCK_TIMEOUT", 0.0)
    path = filled.sqlite.filename_uri
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseError, match=r"is in use.*: try again when that has ended"):
            sqlite_database.prepare(filled)
    assert sqlite_database.prepare(filled) is None  # as the message says


def test_the_process_that_has_locked_a_database_is_named(filled, monkeypatch):
    """Linux lists locks in /proc/locks; the test writes such a list, since not every container has one."""
    path = filled.sqlite.filename_uri
    line = f"1: POSIX  ADVISORY  WRITE {os.getpid()} fe:01:{os.stat(path).st_ino} 1073741824 1073742335\n"
    other = f"2: POSIX  ADVISORY  READ  1 fe:01:{os.stat(path).st_ino} 1073741824 1073742335\n"
    contents = {"/proc/locks": other + line, f"/proc/{os.getpid()}/comm": "python\n"}
    monkeypatch.setattr(sqlite_database, "open", lambda name: io.StringIO(contents[name]), raising=False)
    assert sqlite_database._locking_process(path) == f"{os.getpid()} (python)"


def test_a_newer_schema_is_refused_unchanged(filled):
    path = filled.sqlite.filename_uri
    with contextlib.closing(sqlite3.connect(path)) as newer:
        newer.execute("UPDATE MLMDEnv SET schema_version = schema_version + 1")
        newer.commit()
    version = schema_version(path)
    with pytest.raises(DatabaseError, match=r"written by a newer TFX than this one: .* another --root"):
        sqlite_database.prepare(filled)
    assert schema_version(path) == version


def test_a_file_that_is_no_database_is_refused_unchanged(connection, tmp_path):
    (tmp_path / "metadata.sqlite").write_text("no database\n" * 100)
    with pytest.raises(DatabaseError, match=r"metadata.sqlite cannot be used \(.+\): move it away"):
        sqlite_database.prepare(connection)
    assert (tmp_path / "metadata.sqlite").read_text() == "no database\n" * 100
