import os

import pytest

from components.shared import storage
from components.shared.locks import exclusive
from pipeline import run_directory
from pipeline.paths import Paths


@pytest.fixture
def paths(bucket) -> Paths:
    return Paths(f"{bucket}/root")


def write_log(paths: Paths, run_id: str) -> str:
    """Creates the directory of a run, and its log; returns the directory."""
    local = run_directory.create(paths, run_id)
    storage.write_text(local.log, "done")
    return local.directory


def test_the_log_of_a_run_in_a_bucket_is_uploaded_when_it_ends(paths):
    directory = write_log(paths, "r1")
    with run_directory.running(paths, "r1"):
        assert not run_directory.is_dead(paths, "r1")
        assert storage.read_text(paths.run("r1").log) == ""
    assert storage.read_text(paths.run("r1").log) == "done"
    assert not os.path.exists(directory)


def test_the_log_of_a_killed_run_is_uploaded_by_the_next(paths):
    for run_id in ("killed", "alive"):
        write_log(paths, run_id)
    with exclusive(run_directory.local_paths(paths, "alive").directory):
        run_directory.upload_logs_of_dead(paths)
    assert storage.read_text(paths.run("killed").log) == "done"
    assert storage.read_text(paths.run("alive").log) == ""
    assert not run_directory.is_dead(paths, "killed")  # nothing of it is left here


def test_a_log_that_can_not_be_uploaded_stays(paths, monkeypatch, capsys):
    directory = write_log(paths, "r1")

    def refuse(*args):
        raise OSError("access denied")

    monkeypatch.setattr(storage, "copy", refuse)
    with run_directory.running(paths, "r1"):
        pass
    assert f"The log stays in {directory}/log.txt (access denied)" in capsys.readouterr().err
    assert os.path.exists(directory)


def test_a_run_on_a_disk_keeps_its_directory(tmp_path):
    paths = Paths(str(tmp_path))
    directory = write_log(paths, "r1")
    with run_directory.running(paths, "r1"):
        pass
    assert directory == str(tmp_path / "runs" / "r1") and os.listdir(directory) == ["log.txt"]
