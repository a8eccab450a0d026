import pathlib

import pytest
from ml_metadata.proto import metadata_store_pb2

from components.shared import storage
from components.shared.locks import exclusive
from components.shared.storage import atomic_write
from pipeline import leftovers, run_directory
from pipeline.paths import Paths
from tests.fake_mlmd import FakeMlmd

RUNNING, FAILED = metadata_store_pb2.Execution.RUNNING, metadata_store_pb2.Execution.FAILED


class KilledRun:
    """A root in which a run was killed in its Trainer."""

    def __init__(self, root: pathlib.Path):
        self.mlmd, self.paths = FakeMlmd(), Paths(str(root))
        self.run_dir = pathlib.Path(self.paths.run("killed").directory)
        self.run_dir.mkdir(parents=True)
        self.execution = self.mlmd.execute("Trainer", {}, {}, "killed", RUNNING)
        trainer = pathlib.Path(self.paths.artifacts) / "Trainer"
        number = str(self.execution)
        self.written = [trainer / "weights" / number, trainer / ".system" / "executor_execution" / number / ".temp"]
        self.others = [trainer / "weights" / f"{number}0", trainer.parent / "Exporter" / "model" / number]
        self.partial = pathlib.Path(self.paths.serving) / ".17.0a.partial"
        for directory in (*self.written, *self.others, self.partial):
            directory.mkdir(parents=True)
            (directory / "file").touch()

    def clear(self) -> int:
        """Starts the next run, and returns the state of the killed execution."""
        leftovers.clear(self.mlmd.store, self.paths, self.paths.feature_store, "next")
        [execution] = self.mlmd.store.get_executions_by_id([self.execution])
        return execution.last_known_state


@pytest.fixture
def killed(tmp_path) -> KilledRun:
    return KilledRun(tmp_path)


def test_an_execution_of_a_killed_run_is_closed_and_its_files_are_deleted(killed):
    assert killed.clear() == FAILED
    assert not any(directory.exists() for directory in (*killed.written, killed.partial))
    assert all((directory / "file").exists() for directory in killed.others)
    assert killed.clear() == FAILED


def test_a_run_that_is_alive_is_left_alone(killed):
    with exclusive(str(killed.run_dir)):
        assert killed.clear() == RUNNING
    assert all(directory.exists() for directory in killed.written)


def test_a_run_that_does_not_lie_here_is_left_alone(killed):
    killed.run_dir.rmdir()  # as one of a cluster
    assert killed.clear() == RUNNING


def test_the_run_that_starts_is_left_alone(killed):
    leftovers.clear(killed.mlmd.store, killed.paths, killed.paths.feature_store, "killed")
    assert killed.clear() == FAILED


def test_an_execution_of_no_run_is_left_alone(killed):
    type_id = killed.mlmd.store.put_execution_type(metadata_store_pb2.ExecutionType(name="captions.Rollback"))
    interrupted = metadata_store_pb2.Execution(type_id=type_id, last_known_state=RUNNING)
    [number] = killed.mlmd.store.put_executions([interrupted])
    killed.clear()
    [execution] = killed.mlmd.store.get_executions_by_id([number])
    assert execution.last_known_state == RUNNING


def test_the_first_run_has_nothing_to_clear(tmp_path):
    leftovers.clear(FakeMlmd().store, Paths(str(tmp_path)), str(tmp_path / "elsewhere"), "first")
    assert list(tmp_path.iterdir()) == []


def test_partial_files_of_a_killed_run_are_deleted(killed, tmp_path):
    store_dir = tmp_path.with_name(f"{tmp_path.name}-store")
    names = (".summary.json.0a.partial", "runs/killed/.summary.json.0a.partial", "store/images/17/.0b.json.0a.partial")
    partials = [*(tmp_path / name for name in names), store_dir / "17" / ".shard-1.tfrecord.0a.partial"]
    for path in partials:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    leftovers.clear(killed.mlmd.store, killed.paths, str(store_dir), "next")
    assert not any(path.exists() for path in partials)


def test_a_partial_file_that_is_being_written_is_kept(killed, tmp_path):
    path = tmp_path / "store" / "features" / "17" / "shard-1.json"
    with atomic_write(str(path)) as partial:
        killed.clear()
        pathlib.Path(partial).write_text("{}")
    assert path.read_text() == "{}"


def test_empty_working_directories_are_deleted(killed):
    system_dir = pathlib.Path(killed.paths.artifacts) / "Pusher" / ".system" / "stateful_working_dir"
    empty, used = system_dir / "0a", system_dir / "0b"
    for directory in (empty, used):
        directory.mkdir(parents=True)
    (used / "file").touch()
    killed.clear()
    assert [*system_dir.iterdir()] == [used]


def test_what_a_killed_run_has_left_in_a_bucket_is_deleted(bucket):
    mlmd, paths = FakeMlmd(), Paths(f"{bucket}/root")
    run_directory.create(paths, "killed")
    killed = mlmd.execute("Trainer", {}, {}, "killed", RUNNING)
    elsewhere = mlmd.execute("Trainer", {}, {}, "of another machine", RUNNING)
    for execution in (killed, elsewhere):
        for name in ("weights", ".system/executor_execution"):
            storage.write_text(f"{paths.artifacts}/Trainer/{name}/{execution}/file", "half")
    leftovers.clear(mlmd.store, paths, paths.feature_store, "next")
    states = [execution.last_known_state for execution in mlmd.store.get_executions_by_id([killed, elsewhere])]
    assert states == [FAILED, RUNNING]
    assert storage.list_files(paths.artifacts) == [
        f"Trainer/.system/executor_execution/{elsewhere}/file",
        f"Trainer/weights/{elsewhere}/file",
    ]
