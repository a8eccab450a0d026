import fcntl
import subprocess
import sys

import pytest

from components.shared.locks import exclusive
from tests.factories import ROOT


def test_a_lock_is_held_by_one_at_a_time_and_leaves_nothing(tmp_path):
    with exclusive(str(tmp_path)) as first, exclusive(str(tmp_path)) as second:
        assert (first, second) == (True, False)
    with exclusive(str(tmp_path)) as again:
        assert again
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_not_locked(tmp_path):
    with exclusive(str(tmp_path / "missing")) as is_held:
        assert not is_held


@pytest.fixture
def other(tmp_path):
    """Another process, which holds the lock."""
    code = (
        "import signal, sys; from components.shared.locks import exclusive\n"
        "with exclusive(sys.argv[1]) as is_held: print(is_held, flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_the_lock_of_a_killed_process_is_free(tmp_path, other):
    with exclusive(str(tmp_path)) as is_held:
        assert not is_held
    other.kill()
    other.wait()
    with exclusive(str(tmp_path)) as is_held:
        assert is_held


def test_waiting_ends_when_the_other_process_does(tmp_path, other):
    other.kill()
    with exclusive(str(tmp_path), wait=True) as is_held:
        assert is_held


def test_a_directory_that_was_deleted_before_it_was_locked_is_not_locked(tmp_path, monkeypatch):
    directory, flock = tmp_path / "a", fcntl.flock
    directory.mkdir()

    def delete_before(descriptor, operation):
        directory.rmdir()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", delete_before)
    with exclusive(str(directory)) as is_held:
        assert not is_held


@pytest.mark.parametrize("answer", [True, False])
def test_where_nothing_can_be_locked_the_caller_decides(tmp_path, monkeypatch, answer):
    with exclusive("memory://bucket/a", if_unsupported=answer) as is_held:
        assert is_held is answer

    def refuse(descriptor, operation):
        raise OSError(9, "Bad file descriptor")  # as on NFS

    monkeypatch.setattr(fcntl, "flock", refuse)
    with exclusive(str(tmp_path), if_unsupported=answer) as is_held:
        assert is_held is answer
