"""Pushes into a bucket, on a real server."""

import concurrent.futures
import json
import os
import threading
import time

import pytest

from components.pusher import bucket_push, driver, push
from components.shared import object_store, storage
from tests.components.pusher.test_driver import fingerprint


@pytest.fixture
def serving(bucket) -> str:
    return f"{bucket}/serving"


def write_claim(serving: str, version: int, machine: str = "", pid: int = 0) -> str:
    """Writes what a push leaves that was killed: a claim, and a part of the files."""
    machine = machine or bucket_push._machine()
    name = f".{version}.{machine}.{pid or 2**30}.0a.partial"
    storage.write_text(f"{serving}/{name}", "")
    storage.write_text(f"{serving}/{version}/variables/variables.index", "index")
    return name


def test_a_version_is_complete_when_its_graph_is_there(model, serving, monkeypatch):
    uploaded, upload = [], object_store.upload

    def record(file, uri):
        assert push.newest_version(serving) is None
        upload(file, uri)
        uploaded.append(uri)

    monkeypatch.setattr(object_store, "upload", record)
    version, is_new = push.push(str(model), serving)
    assert is_new and push.newest_version(serving) == version
    assert uploaded == [f"{serving}/{version}/{name}" for name in ("variables/variables.index", "saved_model.pb")]
    assert push.push(str(model), serving) == (version, False)
    assert storage.list_names(serving) == [version]
    assert push.saved_model_in(serving) == f"{serving}/{version}"


@pytest.mark.parametrize("now", [2_000_000_000, 1_000])
def test_another_model_is_a_higher_version_whatever_the_clock_says(model, serving, monkeypatch, now):
    first, _ = push.push(str(model), serving)
    monkeypatch.setattr(bucket_push.time, "time", lambda: now)
    (model / "variables" / "variables.index").write_bytes(b"other")
    second, is_new = push.push(str(model), serving)
    assert is_new and int(second) > int(first) and push.newest_version(serving) == second


def test_a_push_that_fails_leaves_nothing(model, serving, monkeypatch):
    upload = object_store.upload

    def fail(file, uri):
        if uri.endswith("saved_model.pb"):
            raise OSError("no rights")
        upload(file, uri)

    monkeypatch.setattr(object_store, "upload", fail)
    with pytest.raises(OSError, match="no rights"):
        push.push(str(model), serving)
    assert storage.list_files(serving) == []


@pytest.mark.parametrize("clean", [push.remove_leftovers, lambda serving: push.push("model", serving)])
def test_the_leftovers_of_a_killed_push_do_not_count_and_are_deleted(model, serving, monkeypatch, clean):
    monkeypatch.chdir(model.parent)
    write_claim(serving, 17)
    assert push.newest_version(serving) is None
    clean(serving)
    assert not [name for name in storage.list_files(serving) if name.startswith(("17/", "."))]


def test_of_a_push_that_was_killed_at_its_end_the_claim_is_deleted_alone(serving):
    write_claim(serving, 17)
    storage.write_text(f"{serving}/17/saved_model.pb", "graph")
    push.remove_leftovers(serving)
    assert storage.list_files(serving) == ["17/saved_model.pb", "17/variables/variables.index"]


@pytest.mark.parametrize("place", [{"pid": os.getpid()}, {"machine": "elsewhere"}])
def test_a_push_in_progress_is_left_alone_and_its_number_is_not_taken(model, serving, place):
    future = int(time.time()) + 1000
    name = write_claim(serving, future, **place)
    version, _ = push.push(str(model), serving)
    assert int(version) > future
    assert {name, f"{future}/variables/variables.index"} < set(storage.list_files(serving))


def test_a_push_of_another_machine_that_writes_nothing_for_long_was_killed(serving, monkeypatch):
    write_claim(serving, 17, machine="elsewhere")
    later = time.time() + bucket_push.MAX_PUSH_SECONDS + 60
    monkeypatch.setattr(bucket_push.time, "time", lambda: later)
    push.remove_leftovers(serving)
    assert storage.list_files(serving) == []


def test_two_pushes_at_once_are_two_complete_versions(model, serving, monkeypatch):
    monkeypatch.setattr(bucket_push.time, "time", lambda: 1_000)
    both, write = threading.Barrier(2), storage.write_text

    def write_together(path, text):  # both have chosen the same number
        if "/.1000." in path:
            both.wait()
        write(path, text)

    monkeypatch.setattr(storage, "write_text", write_together)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        (one, _), (other, _) = pool.map(push.push, [str(model)] * 2, [serving] * 2)
    assert one != other
    expected = [f"{version}/{name}" for version in (one, other) for name in storage.list_files(str(model))]
    assert storage.list_files(serving) == sorted(expected)


def test_who_has_claimed_a_number_in_vain_takes_another(model, serving, monkeypatch):
    monkeypatch.setattr(bucket_push.time, "time", lambda: 1_000)
    write, others = storage.write_text, []

    def write_after_another(path, text):
        monkeypatch.setattr(storage, "write_text", write)
        if not others:
            others.append(write_claim(serving, 1_000, pid=os.getpid()))
        write(path, text)

    monkeypatch.setattr(storage, "write_text", write_after_another)
    version, _ = push.push(str(model), serving)
    assert int(version) > 1_000
    assert [name for name in storage.list_names(serving) if name.startswith(".")] == others


def test_the_driver_observes_what_is_served(model, serving):
    destination = json.dumps({"filesystem": {"base_directory": serving}})
    first, second = (fingerprint(destination) for _ in range(2))
    assert first != second  # nothing is served: never from the cache
    version, _ = push.push(str(model), serving)
    before = fingerprint(destination)
    assert before.startswith(version) and fingerprint(destination) == before
    storage.write_text(f"{serving}/{version}/saved_model.pb", "other")
    assert fingerprint(destination) != before
    assert driver._state(f"{serving}/{version}") != driver._state(str(model))
