import hashlib
import os
import pathlib
import re

import pytest

from components.shared import storage
from components.shared.storage import Entry, atomic_write, write_text


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "file"
    with atomic_write(str(path)) as partial:
        pathlib.Path(partial).write_text("complete")
        assert not path.exists()
    assert path.read_text() == "complete"
    assert [path] == list(path.parent.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_text(str(path), "old")
    with pytest.raises(RuntimeError), atomic_write(str(path)) as partial:
        pathlib.Path(partial).write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [path] == list(tmp_path.iterdir())


def test_partial_files_of_a_killed_write_match_no_glob(tmp_path):
    with atomic_write(str(tmp_path / "file.json")) as partial:
        pathlib.Path(partial).write_text("")
        assert not list(tmp_path.glob("[!.]*"))


def test_partial_files_of_a_killed_write_are_removed_and_others_are_kept(tmp_path):
    names = (".file.0a.partial", "below/.file.0a.partial", "mine.partial", ".hidden", "below/file")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with atomic_write(str(tmp_path / "below" / "file")) as partial:
        storage.remove_partials(str(tmp_path))
        assert storage.list_files(str(tmp_path)) == sorted([*names[2:], os.path.relpath(partial, tmp_path)])
        pathlib.Path(partial).write_text("complete")
    assert (tmp_path / "below" / "file").read_text() == "complete"


def test_there_are_no_partial_files_to_remove_in_an_object_store():
    storage.remove_partials("s3://bucket/root")  # which nobody can reach


def test_write_text_replaces(tmp_path):
    path = str(tmp_path / "file")
    write_text(path, "longer than the next")
    write_text(path, "grün")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "grün"
    assert storage.read_text(path) == "grün"


def test_json_is_read_as_it_was_written(tmp_path):
    path = str(tmp_path / "file.json")
    storage.write_json(path, {"b": [1, 2.5], "a": "grün"})
    assert storage.read_json(path) == {"a": "grün", "b": [1, 2.5]}
    write_text(path, "{")
    with pytest.raises(ValueError, match=f"{path}: not JSON"):
        storage.read_json(path)


@pytest.mark.parametrize("read", [storage.read_bytes, storage.read_text, storage.read_json, storage.sha256])
def test_reading_a_missing_file_raises_file_not_found(tmp_path, read):
    with pytest.raises(FileNotFoundError, match="missing"):
        read(str(tmp_path / "missing"))


def test_sha256_is_that_of_the_whole_file(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_CHUNK", 3)
    (tmp_path / "file").write_bytes(b"12345678")
    assert storage.sha256(str(tmp_path / "file")) == hashlib.sha256(b"12345678").hexdigest()


def test_a_listing_has_sorted_names(tmp_path):
    (tmp_path / "b.txt").write_text("12345")
    (tmp_path / "a").mkdir()
    assert storage.list_names(str(tmp_path)) == ["a", "b.txt"]
    assert storage.list_names(str(tmp_path / "missing")) == []


def test_sizes_and_existence(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "c.txt").write_text("123")
    (tmp_path / "a" / "b" / "d.txt").write_text("12345")
    directory, file, missing = str(tmp_path / "a"), str(tmp_path / "a" / "c.txt"), str(tmp_path / "missing")
    assert (storage.size(file), storage.size(missing)) == (3, None)
    assert [storage.total(path).size for path in (directory, file)] == [8, 3]
    assert storage.total(missing) is None
    assert [storage.exists(path) for path in (directory, file, missing)] == [True, True, False]
    assert [storage.is_directory(path) for path in (directory, file, missing)] == [True, False, False]


def test_a_directory_is_as_young_as_its_youngest_file(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name, mtime in (("a/b/c.txt", 30), ("a/d.txt", 40), ("a/b", 20), ("a", 10)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (mtime, mtime))
    assert storage.total(str(tmp_path / "a")) == Entry("a", 0, 40.0, True)


@pytest.fixture
def synced(monkeypatch) -> list[str]:
    """Records what reaches the disk, and when files are renamed; a power cut can't be had in a test."""
    events = []
    replace = os.replace

    def fake_replace(old, new):
        replace(old, new)
        events.append(f"rename {os.path.basename(new)}")

    monkeypatch.setattr(os, "fsync", lambda descriptor: events.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    monkeypatch.setattr(os, "replace", fake_replace)
    return events


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, synced):
    write_text(str(tmp_path / "file"), "text")
    partial, *others = synced
    assert re.fullmatch(rf"{tmp_path}/\.file\.\w+\.partial", partial)
    assert others == ["rename file", str(tmp_path)]


def test_many_small_files_need_not_be_waited_for_one_by_one(tmp_path, synced):
    with atomic_write(str(tmp_path / "file"), durable=False) as partial:
        pathlib.Path(partial).write_text("text")
    assert synced == ["rename file"]


def test_a_tree_is_on_the_disk_with_all_its_names(tmp_path, synced):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/b/c", "a/d"):
        (tmp_path / name).touch()
    (tmp_path / "a" / "dangling").symlink_to(tmp_path / "nowhere")
    storage.sync_tree(str(tmp_path / "a"))
    assert synced == [str(tmp_path / name) for name in ("a/b/c", "a/b", "a/d", "a")] + [str(tmp_path)]
    storage.sync_tree("memory://bucket/a")  # an object store has no need of it
    storage.sync("memory://bucket/a")
    assert len(synced) == 5


def test_a_file_that_cannot_reach_the_disk_is_an_error_and_keeps_the_old_one(tmp_path, monkeypatch):
    write_text(str(tmp_path / "file"), "old")

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_text(str(tmp_path / "file"), "new")
    assert (tmp_path / "file").read_text() == "old"


def test_files_and_directories_are_removed_and_missing_ones_are_no_error(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.txt").write_text("123")
    (tmp_path / "d.txt").write_text("123")
    for path in ("a", "d.txt", "missing"):
        storage.remove(str(tmp_path / path))
    assert list(tmp_path.iterdir()) == []


def test_all_files_below_a_directory_are_listed(tmp_path):
    for name in ("b", "a/c/d", "a/b"):
        storage.write_bytes(str(tmp_path / name), name.encode())
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert storage.list_files(str(tmp_path)) == ["a/b", "a/c/d", "b", "dangling"]
    assert storage.read_bytes(str(tmp_path / "a" / "b")) == b"a/b"
    assert storage.list_files(str(tmp_path / "nowhere")) == []
