import dataclasses
import errno
import os
import time

import keras
import numpy as np
import pytest

from components.shared import storage
from components.trainer.checkpoints import (
    RETENTION_DAYS,
    STATE,
    CheckpointManager,
    UnreadableCheckpoint,
    checkpoints_of,
    remove,
)


def variables(*values):
    return [keras.Variable(np.array(value, np.float32)) for value in values]


def values_of(variables):
    return [np.array(variable).tolist() for variable in variables]


def test_restore_returns_what_was_saved(tmp_path):
    state = {"epoch": 4, "history": [{"loss": 0.1}]}
    CheckpointManager(str(tmp_path / "key")).save(variables([1, 2], 3), state, [])
    new = variables([0, 0], 0)
    assert CheckpointManager(str(tmp_path / "key")).restore(new) == state
    assert values_of(new) == [[1, 2], 3]


def test_restore_without_a_checkpoint_changes_nothing(tmp_path):
    new = variables(5)
    assert CheckpointManager(str(tmp_path / "key")).restore(new) is None
    assert values_of(new) == [5]


def test_a_phase_has_files_of_its_own(tmp_path):
    checkpoints = CheckpointManager(str(tmp_path / "key"))
    save_epoch(checkpoints, 2)
    phase = checkpoints.phase("second")
    assert restored(phase) is None
    for epoch in (1, 2, 3):
        save_epoch(phase, epoch)
    assert restored(checkpoints) == {"epoch": 2} and restored(phase) == {"epoch": 3}
    files = [STATE, f"second-{STATE}", "second-weights-3.npz", "weights-2.npz"]
    assert sorted(os.listdir(tmp_path / "key")) == sorted(files)


def test_an_interrupted_save_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    checkpoints = CheckpointManager(str(tmp_path / "key"))
    checkpoints.save(variables(1), {"epoch": 1}, [])

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(variables(2), {"epoch": 2}, [])
    new = variables(0)
    assert checkpoints.restore(new) == {"epoch": 1} and values_of(new) == [1]
    assert os.listdir(tmp_path / "key") == [STATE]


def test_load_weights_averages_epochs(tmp_path):
    checkpoints = CheckpointManager(str(tmp_path / "key"))
    for name, value in (("1", [2, 4]), ("3", [4, 8])):
        checkpoints.save_weights(name, variables(value))
    new = variables([0, 0])
    checkpoints.load_weights(["1", "3"], new)
    assert values_of(new) == [[3, 6]]
    checkpoints.load_weights(["3"], new)
    assert values_of(new) == [[4, 8]]


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(UnreadableCheckpoint, match=r"key/weights-7.npz is damaged or gone: run again"):
        CheckpointManager(str(tmp_path / "key")).load_weights(["7"], variables(0))


def damage(path, kind: str) -> None:
    content = path.read_bytes()
    if kind == "gone":
        path.unlink()
    else:
        zeros = bytes(len(content))
        path.write_bytes({"empty": b"", "cut": content[:-30], "zeros": zeros, "half": content[:150]}[kind])


@pytest.mark.parametrize("file", [STATE, "weights-2.npz"])
@pytest.mark.parametrize("kind", ["empty", "cut", "zeros", "half", "gone"])
def test_a_training_with_a_damaged_checkpoint_starts_anew(tmp_path, caplog, file, kind):
    checkpoints = CheckpointManager(str(tmp_path / "key"))
    checkpoints.save_weights("2", variables([1, 2]))
    checkpoints.save(variables([1, 2]), {"epoch": 2}, ["2"])
    damage(tmp_path / "key" / file, kind)
    new = variables([0, 0])
    assert checkpoints.restore(new) is None
    assert values_of(new) == [[0, 0]]
    if (file, kind) != (STATE, "gone"):
        assert f"{tmp_path}/key/{file} is damaged or gone: this training starts anew" in caplog.text
    checkpoints.save_weights("1", variables([3, 4]))
    checkpoints.save(variables([3, 4]), {"epoch": 1}, ["1"])
    assert checkpoints.restore(new) == {"epoch": 1} and values_of(new) == [[3, 4]]


def test_a_checkpoint_that_cannot_be_read_for_the_moment_is_kept(tmp_path, monkeypatch):
    checkpoints = CheckpointManager(str(tmp_path / "key"))
    checkpoints.save(variables(1), {"epoch": 1}, [])

    def fail(*_, **__):
        raise OSError(errno.EIO, "the network is down")

    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(OSError, match="network"):
        checkpoints.restore(variables(0))


def test_save_deletes_weights_that_are_not_kept(tmp_path):
    checkpoints = CheckpointManager(str(tmp_path / "key"))
    for name in "123":
        checkpoints.save_weights(name, variables(1))
    checkpoints.save(variables(1), {}, ["2"])
    assert sorted(os.listdir(tmp_path / "key")) == [STATE, "weights-2.npz"]


def test_pickled_arrays_are_refused(tmp_path):
    checkpoints = CheckpointManager(str(tmp_path / "key"))
    os.makedirs(checkpoints.directory)
    np.savez(os.path.join(checkpoints.directory, STATE), v0=np.array([{}], object), allow_pickle=True)
    assert checkpoints.restore(variables(1)) is None  # damaged, and nothing was executed


def age(path, days: float) -> None:
    """Makes a directory with its files look older."""
    then = time.time() - days * 24 * 3600
    for each in (*path.iterdir(), path):
        os.utime(each, (then, then))


def test_remove_deletes_own_files_and_abandoned_ones(tmp_path):
    for name in ("own", "other", "abandoned"):
        CheckpointManager(str(tmp_path / name)).save(variables(1), {}, [])
    (tmp_path / "killed before its first checkpoint").mkdir()
    CheckpointManager(str(tmp_path / "of best weights alone")).save_weights("1", variables(1))
    age(tmp_path / "abandoned", RETENTION_DAYS + 1)
    age(tmp_path / "killed before its first checkpoint", RETENTION_DAYS + 1)
    age(tmp_path / "of best weights alone", RETENTION_DAYS + 1)
    age(tmp_path / "other", RETENTION_DAYS - 1)
    remove(str(tmp_path / "own"))
    assert os.listdir(tmp_path) == ["other"]
    remove(str(tmp_path / "own"))


def test_a_recent_file_keeps_a_directory(tmp_path):
    checkpoints = CheckpointManager(str(tmp_path / "key"))
    checkpoints.save(variables(1), {}, [])
    age(tmp_path / "key", RETENTION_DAYS + 1)
    checkpoints.save_weights("1", variables(1))
    remove(str(tmp_path / "own"))
    assert os.listdir(tmp_path) == ["key"]


def test_two_equal_trainings_at_once_have_a_directory_each(tmp_path):
    with checkpoints_of("key", str(tmp_path)) as first, checkpoints_of("key", str(tmp_path)) as second:
        for checkpoints, value in ((first, 1), (second, 2)):
            checkpoints.save_weights("1", variables(value))
            checkpoints.save(variables(value), {"epoch": value}, ["1"])
        first.save(variables(3), {"epoch": 3}, [])  # deletes its own weights alone
        remove(first.directory)  # both are still in use
        remove(second.directory)
        new = variables(0)
        assert second.restore(new) == {"epoch": 2} and first.restore(new) == {"epoch": 3}
    remove(first.directory)
    with checkpoints_of("key", str(tmp_path)) as third:  # the second was killed: it is resumed
        assert third.directory == second.directory and third.restore(new) == {"epoch": 2}
    with checkpoints_of("other", str(tmp_path)) as other:
        assert other.restore(new) is None


def save_epoch(checkpoints: CheckpointManager, epoch: int) -> None:
    checkpoints.save_weights(str(epoch), variables(epoch))
    checkpoints.save(variables(epoch), {"epoch": epoch}, [str(epoch)])


def restored(checkpoints: CheckpointManager) -> dict | None:
    """What is restored; the values and weights belong to the same epoch."""
    new = variables(0)
    state = checkpoints.restore(new)
    if state is not None:
        assert values_of(new) == [state["epoch"]]
        checkpoints.load_weights([str(state["epoch"])], new)
        assert values_of(new) == [state["epoch"]]
    return state


def test_a_training_is_resumed_from_a_bucket(bucket):
    with checkpoints_of("key", f"{bucket}/checkpoints") as killed:
        assert restored(killed) is None
        save_epoch(killed, 1)
        save_epoch(killed, 2)
        assert restored(killed) == {"epoch": 2}
    assert storage.list_names(killed.directory) == ["begun", STATE, "weights-2.npz"]
    with (
        checkpoints_of("key", f"{bucket}/checkpoints") as resumed,
        checkpoints_of("other", f"{bucket}/checkpoints") as other,
    ):
        assert restored(resumed) == {"epoch": 2} and restored(other) is None
        save_epoch(resumed, 3)
        assert restored(resumed) == {"epoch": 3}


def test_a_phase_is_resumed_from_the_process_that_was_in_it(bucket):
    with checkpoints_of("key", bucket) as first:
        save_epoch(first, 3)
        save_epoch(first.phase("second"), 5)
    with checkpoints_of("key", bucket) as second:  # killed before it came to its second phase
        assert restored(second) == {"epoch": 3}
        save_epoch(second, 3)
    with checkpoints_of("key", bucket) as third:
        assert restored(third) == {"epoch": 3}
        assert restored(third.phase("second")) == {"epoch": 5}
        assert restored(third.phase("other")) is None


@pytest.mark.parametrize("file", [STATE, "weights-1.npz"])
def test_a_damaged_checkpoint_in_a_bucket_is_not_resumed(bucket, caplog, file):
    with checkpoints_of("key", bucket) as killed:
        save_epoch(killed, 1)
    path = f"{killed.directory}/{file}"
    storage.write_bytes(path, storage.read_bytes(path)[:-30])
    with checkpoints_of("key", bucket) as resumed:
        assert restored(resumed) is None
        assert f"{path} is damaged or gone: this training starts anew" in caplog.text


def test_two_equal_trainings_at_once_in_a_bucket_do_not_disturb_each_other(bucket):
    with checkpoints_of("key", bucket) as first:
        save_epoch(first, 1)
        with checkpoints_of("key", bucket) as second:
            assert restored(second) == {"epoch": 1}
            save_epoch(first, 2)
            save_epoch(second, 3)
            assert (restored(first), restored(second)) == ({"epoch": 2}, {"epoch": 3})


def test_a_training_whose_weights_are_recorded_leaves_nothing_of_its_own_in_a_bucket(bucket, monkeypatch):
    stat = storage.stat

    def slow_stat(path):  # a store counts in seconds
        entry = stat(path)
        return dataclasses.replace(entry, mtime=entry.mtime + 1) if entry and path.endswith("/begun") else entry

    monkeypatch.setattr(storage, "stat", slow_stat)
    managers = []
    for key in ("key", "key", "other"):
        with checkpoints_of(key, bucket) as checkpoints:
            save_epoch(checkpoints, 1)
            managers.append(os.path.basename(checkpoints.directory))
    remove(f"{bucket}/{managers[1]}")
    # files, since SeaweedFS goes on listing the name of a prefix that is empty
    assert {file.partition("/")[0] for file in storage.list_files(bucket)} == {managers[2]}
    remove(f"{bucket}/{managers[1]}")
