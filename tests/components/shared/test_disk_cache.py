import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest

from components.shared import disk_cache
from components.shared.disk_cache import DiskCache, DiskFullError, entry_name
from tests.factories import ROOT


@pytest.fixture
def cache(tmp_path) -> DiskCache:
    return DiskCache(str(tmp_path / "cache"))


def exists(cache: DiskCache, name: str):
    return lambda: os.path.exists(cache.path(name))


def write(cache: DiskCache, digest: str, num_bytes: int = 10, age: int = 0) -> str:
    """Writes an entry as another process, which is gone, did some seconds ago."""
    name = entry_name(digest, num_bytes)
    with cache.writing(name, exists(cache, name)) as folder:
        pathlib.Path(folder, "file").write_bytes(bytes(num_bytes))
    os.utime(cache.path(name), (1e9 - age, 1e9 - age))
    return name


def entries(cache: DiskCache) -> list[str]:
    return sorted(os.listdir(os.path.join(cache.directory, "entries")))


def leftovers(cache: DiskCache) -> list[str]:
    """Files and folders of writers; the cache's own lease is not one of them."""
    found = [path for name in ("partial", "writers") for path in pathlib.Path(cache.directory, name).glob("**/*")]
    return [path.name for path in found if path.name not in os.listdir(os.path.join(cache.directory, "leases"))]


@contextlib.contextmanager
def another_process(cache: DiskCache, code: str):
    """Runs code with the same cache until it prints a line; kills it at the end of the block."""
    code = f"from components.shared.disk_cache import DiskCache\ncache = DiskCache({cache.directory!r})\n{code}\n"
    with subprocess.Popen(
        [sys.executable, "-c", code + "print('ready', flush=True); input()"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def test_what_was_used_longest_ago_is_deleted_first(cache):
    _, old, new = (write(cache, digest, age=age) for digest, age in (("c", 3), ("a", 2), ("b", 1)))
    cache.make_room(0, max_bytes=20)
    assert entries(cache) == [old, new]
    cache.make_room(0, max_bytes=19)
    assert entries(cache) == [new]


def test_asking_is_a_use(cache, tmp_path):
    names = [write(cache, digest, age=age) for digest, age in (("a", 2), ("b", 1))]
    with another_process(cache, f"cache.ask_for({{{names[0]!r}: lambda: True}})"):
        pass  # it asked, and is dead: nothing but the time of use counts
    cache.make_room(0, max_bytes=10)
    assert entries(cache) == [names[0]]


def test_there_is_room_for_what_was_asked_for(cache):
    write(cache, "old")
    name = entry_name("new", 15)
    assert cache.ask_for({name: exists(cache, name)}) == [name]
    cache.make_room(15, max_bytes=20)
    assert entries(cache) == []


def test_what_this_process_asked_for_stays_although_the_limit_is_exceeded(cache, caplog):
    names = [write(cache, digest) for digest in "ab"]
    assert cache.ask_for({name: exists(cache, name) for name in names}) == []
    for _ in range(2):
        cache.make_room(0, max_bytes=5)
    assert entries(cache) == names
    assert caplog.text.count("GiB are in use, over its limit of") == 1


def test_what_a_living_process_asked_for_stays_until_it_is_dead(cache):
    name = write(cache, "a")
    with another_process(cache, f"cache.ask_for({{{name!r}: lambda: True}})"):
        cache.make_room(0, max_bytes=0)
        assert entries(cache) == [name]
    cache.make_room(0, max_bytes=0)
    assert entries(cache) == []


def test_what_a_killed_process_was_writing_is_removed_by_the_next(cache):
    code = "writing = cache.writing('a-3', lambda: False)\nopen(writing.__enter__() + '/half', 'w').close()"
    with another_process(cache, code):
        assert "half" in leftovers(cache) and "a-3" in leftovers(cache)
        DiskCache(cache.directory).ask_for({})  # another living process
        assert "half" in leftovers(cache)
    DiskCache(cache.directory).ask_for({})
    assert leftovers(cache) == [] and entries(cache) == []


def test_an_entry_appears_when_it_is_complete(cache):
    with pytest.raises(RuntimeError), cache.writing("a-1", exists(cache, "a-1")) as folder:
        pathlib.Path(folder, "file").write_text("x")
        assert entries(cache) == []
        raise RuntimeError
    assert entries(cache) == [] and leftovers(cache) == []
    write(cache, "a", 1)
    assert entries(cache) == ["a-1"] and leftovers(cache) == []


def test_two_writers_of_an_entry_write_it_once(cache):
    other = DiskCache(cache.directory)
    begun, folders = threading.Event(), []

    def write_too():
        begun.set()
        with other.writing("a-1", exists(other, "a-1")) as folder:
            folders.append(folder)

    thread = threading.Thread(target=write_too)
    with cache.writing("a-1", exists(cache, "a-1")) as folder:
        pathlib.Path(folder, "file").write_text("x")
        thread.start()
        begun.wait()
    thread.join()
    assert folders == [""] and entries(cache) == ["a-1"] and leftovers(cache) == []


def test_a_damaged_entry_is_replaced(cache):
    name = write(cache, "a", 1)
    pathlib.Path(cache.path(name), "file").write_text("")
    assert cache.ask_for({name: lambda: False}) == [name]
    with cache.writing(name, lambda: False) as folder:
        pathlib.Path(folder, "file").write_text("x")
    assert pathlib.Path(cache.path(name), "file").read_text() == "x" and leftovers(cache) == []


def test_damaged_entries_are_discarded_though_they_are_in_use(cache):
    name = write(cache, "a")
    cache.ask_for({name: exists(cache, name)})
    assert cache.discard([name, "none-1"]) == 1
    assert entries(cache) == []


def test_a_full_disk_is_emptied_of_what_nobody_uses_then_told(cache, monkeypatch):
    write(cache, "a"), write(cache, "b")
    usage = type("usage", (), {"free": 5})
    monkeypatch.setattr(disk_cache.shutil, "disk_usage", lambda _: usage)
    cache.make_room(5, max_bytes=100)
    assert len(entries(cache)) == 2
    with pytest.raises(DiskFullError) as error:
        cache.make_room(16, max_bytes=100)
    assert error.value.free_bytes == 5 and entries(cache) == []


def test_a_lease_that_a_full_disk_has_cut_protects_what_is_asked_for_later(cache):
    cache.ask_for({})
    [lease] = (pathlib.Path(cache.directory) / "leases").iterdir()
    lease.write_text("hal")
    (pathlib.Path(cache.directory) / "entries" / "lost+found").mkdir()
    name = write(cache, "a")
    cache.ask_for({name: exists(cache, name)})
    cache.make_room(0, max_bytes=0)
    assert entries(cache) == [name, "lost+found"]


def test_a_directory_that_is_deleted_meanwhile_is_begun_anew(cache):
    write(cache, "a")
    disk_cache.shutil.rmtree(cache.directory)
    name = write(cache, "b")
    cache.ask_for({name: exists(cache, name)})
    cache.make_room(0, max_bytes=0)
    assert entries(cache) == [name]
