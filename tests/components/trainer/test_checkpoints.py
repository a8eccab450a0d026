import os

import keras
import numpy as np
import pytest

from components.trainer.checkpoints import KEPT_DAYS, STATE, Checkpoints


def variables(*values):
    return [keras.Variable(np.array(value, np.float32)) for value in values]


def values(these):
    return [np.array(each).tolist() for each in these]


def test_what_was_saved_comes_back(tmp_path):
    Checkpoints(str(tmp_path / "one")).save(variables([1, 2], 3), {"epoch": 4, "history": [{"loss": 0.1}]}, [])
    new = variables([0, 0], 0)
    assert Checkpoints(str(tmp_path / "one")).restore(new) == {"epoch": 4, "history": [{"loss": 0.1}]}
    assert values(new) == [[1, 2], 3]


def test_where_nothing_is_there_is_nothing_to_go_on_from(tmp_path):
    new = variables(5)
    assert Checkpoints(str(tmp_path / "none")).restore(new) is None
    assert values(new) == [5]


def test_a_save_that_is_killed_leaves_the_one_before(tmp_path, monkeypatch):
    checkpoints = Checkpoints(str(tmp_path / "one"))
    checkpoints.save(variables(1), {"epoch": 1}, [])

    def die(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", die)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(variables(2), {"epoch": 2}, [])
    new = variables(0)
    assert checkpoints.restore(new) == {"epoch": 1} and values(new) == [1]
    assert os.listdir(tmp_path / "one") == [STATE]


def test_weights_of_several_epochs_have_a_mean(tmp_path):
    checkpoints = Checkpoints(str(tmp_path / "one"))
    for name, value in (("1", [2, 4]), ("3", [4, 8])):
        checkpoints.save_weights(name, variables(value))
    new = variables([0, 0])
    checkpoints.load_weights(["1", "3"], new)
    assert values(new) == [[3, 6]]
    checkpoints.load_weights(["3"], new)
    assert values(new) == [[4, 8]]


def test_weights_that_are_lost_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="has lost the weights of epoch 7: remove it, and run again"):
        Checkpoints(str(tmp_path / "one")).load_weights(["7"], variables(0))


def test_a_save_removes_the_weights_that_are_not_wanted_any_more(tmp_path):
    checkpoints = Checkpoints(str(tmp_path / "one"))
    for name in "123":
        checkpoints.save_weights(name, variables(1))
    checkpoints.save(variables(1), {}, ["2"])
    assert sorted(os.listdir(tmp_path / "one")) == [STATE, "weights-2.npz"]


def test_an_array_that_would_run_code_is_refused(tmp_path):
    checkpoints = Checkpoints(str(tmp_path / "one"))
    os.makedirs(checkpoints.directory)
    np.savez(os.path.join(checkpoints.directory, STATE), v0=np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        checkpoints.restore(variables(1))


def test_the_end_removes_its_own_files_and_what_was_left_long_ago(tmp_path):
    names = ("ours", "theirs", "old")
    ours, theirs, old = (Checkpoints(str(tmp_path / name)) for name in names)
    for each in (ours, theirs, old):
        each.save(variables(1), {}, [])
    os.utime(tmp_path / "old" / STATE, (0, 60.0 * 60 * 24 * KEPT_DAYS))
    ours.remove()
    assert os.listdir(tmp_path) == ["theirs"]
