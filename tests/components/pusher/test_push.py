import os
import re

import pytest

from components.pusher import push
from components.pusher.push import newest_version
from components.shared import storage
from components.shared.locks import exclusive


@pytest.fixture
def serving(tmp_path):
    return tmp_path / "serving"


def content(directory):
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_a_model_becomes_a_version_that_tensorflow_serving_loads(model, serving):
    version, is_new = push.push(str(model), str(serving))
    assert is_new and version.isdecimal()
    assert content(serving / version) == content(model)
    assert newest_version(str(serving)) == version


def test_the_same_model_is_not_pushed_twice(model, serving):
    version, _ = push.push(str(model), str(serving))
    assert push.push(str(model), str(serving)) == (version, False)
    assert [path.name for path in serving.iterdir()] == [version]


@pytest.mark.parametrize("now", [2_000_000_000, 1_000])
def test_another_model_is_a_higher_version_whatever_the_clock_says(model, serving, monkeypatch, now):
    first, _ = push.push(str(model), str(serving))
    monkeypatch.setattr(push.time, "time", lambda: now)
    (model / "variables" / "variables.index").write_bytes(b"other")
    second, is_new = push.push(str(model), str(serving))
    assert is_new and int(second) > int(first)
    assert newest_version(str(serving)) == second


def test_a_model_pushed_again_after_another_is_a_new_version(model, serving):
    push.push(str(model), str(serving))
    (model / "saved_model.pb").write_bytes(b"other")
    push.push(str(model), str(serving))
    (model / "saved_model.pb").write_bytes(b"graph")
    _, is_new = push.push(str(model), str(serving))
    assert is_new and len(list(serving.iterdir())) == 3


def test_a_damaged_version_is_pushed_again(model, serving):
    first, _ = push.push(str(model), str(serving))
    (serving / first / "saved_model.pb").write_bytes(b"")
    second, is_new = push.push(str(model), str(serving))
    assert is_new and content(serving / second) == content(model)


def test_a_version_is_on_the_disk_before_it_has_its_number(model, serving, monkeypatch):
    events, rename = [], os.rename
    monkeypatch.setattr(push.storage, "sync", lambda path: events.append(path.replace(str(serving), "serving")))
    monkeypatch.setattr(os, "rename", lambda old, new: (rename(old, new), events.append("rename")))
    push.push(str(model), str(serving))
    partial = events[-4]
    assert re.fullmatch(r"serving/\.\d+\.\w+\.partial", partial)
    assert {f"{partial}/saved_model.pb", f"{partial}/variables/variables.index"} < set(events[:-4])
    assert events[-3:] == ["serving", "rename", "serving"]


def test_a_push_that_fails_leaves_nothing(model, serving, monkeypatch):
    real, copied = storage.copy, []

    def copy(source, target):
        if copied:
            raise OSError("disk full")
        copied.append(source)
        real(source, target)

    monkeypatch.setattr(storage, "copy", copy)
    with pytest.raises(OSError, match="disk full"):
        push.push(str(model), str(serving))
    assert list(serving.iterdir()) == []


def test_the_leftovers_of_a_killed_push_are_no_version(serving):
    (serving / ".17.abc.partial").mkdir(parents=True)
    assert newest_version(str(serving)) is None
    assert newest_version(str(serving / "nowhere")) is None


def test_the_leftovers_of_a_killed_push_are_deleted_unless_it_is_still_going_on(model, serving):
    push.push(str(model), str(serving))
    leftover = serving / ".17.abc.partial"
    leftover.mkdir()
    (leftover / "saved_model.pb").touch()
    with exclusive(str(serving)):
        push.remove_leftovers(str(serving))
        assert leftover.exists()
    push.remove_leftovers(str(serving))
    assert len(list(serving.iterdir())) == 1
    push.remove_leftovers(str(serving / "nowhere"))


def test_a_saved_model_is_found_in_itself_or_in_its_newest_version(model, serving):
    assert push.saved_model_in(str(model)) == str(model)
    assert push.saved_model_in(str(serving)) is None
    version, _ = push.push(str(model), str(serving))
    (serving / "99999999999").mkdir()  # nothing in it
    assert push.saved_model_in(str(serving)) == str(serving / version)
