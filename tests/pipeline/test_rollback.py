import contextlib
import os
import pathlib
import re
import shutil

import pytest
from ml_metadata.proto import metadata_store_pb2

from components.shared import records, storage
from components.shared.contents import FILES, describe
from components.shared.mlmd.executions import last_producers
from components.shared.mlmd.pushes import model_at, pushed_destinations, pushes_of
from components.shared.mlmd.runs import pipeline_named
from pipeline import rollback
from pipeline.rollback import Rollback, RollbackError, roll_back
from tests.fake_mlmd import PIPELINE, FakeMlmd


class PushedModels:
    """Models that a pipeline has pushed one after the other, as versions 1, 2, …"""

    def __init__(self, root: pathlib.Path, num_models: int):
        self.mlmd, self.root, self.serving = FakeMlmd(), root, root / "serving"
        self.store = self.mlmd.store
        self.models, self.blessings = [], []
        self.serving.mkdir()
        for number in range(1, num_models + 1):
            self.push(number)

    def push(self, number: int, killed: bool = False) -> None:
        """Pushes a model; the push of a killed Pusher is not recorded."""
        version = self.serving / str(number)
        version.mkdir()
        (version / "saved_model.pb").write_text(f"model {number}")
        model = self.root / f"model {number}"
        shutil.copytree(version, model / "Format-Serving")
        self.models.append(self.mlmd.artifact("Model", str(model)))
        self.blessings.append(self.mlmd.artifact("ModelBlessing", current_model_id=self.models[-1], blessed=1))
        self.mlmd.execute("BleuEvaluator", {"model": self.models[-1]}, {"blessing": self.blessings[-1]})
        if killed:
            return
        pushed = self.mlmd.artifact("PushedModel", pushed_version=str(number), pushed=1)
        inputs = {"model": self.models[-1], "model_blessing": self.blessings[-1]}
        self.mlmd.execute("Pusher", inputs, {"pushed_model": pushed})

    def content(self) -> str:
        newest = max(self.serving.iterdir(), key=lambda path: int(path.name))
        return (newest / "saved_model.pb").read_text()

    def roll_back(self, to: str | None = None) -> Rollback:
        return roll_back(self.store, PIPELINE, str(self.serving), to)

    def executions(self) -> list[metadata_store_pb2.Execution]:
        """The rollbacks."""
        return self.store.get_executions_by_type("captions.Rollback")

    def rolled_back(self) -> list[bool]:
        models = self.store.get_artifacts_by_id(self.models)
        return [records.ROLLED_BACK in model.custom_properties for model in models]

    def last_blessing(self) -> int:
        """The blessing that was put out last, which determines the baseline."""
        producers = last_producers(self.store, self.blessings)
        return max(producers, key=lambda blessing: producers[blessing])


@pytest.fixture
def pushed(tmp_path) -> PushedModels:
    return PushedModels(tmp_path, 3)


def test_the_previous_model_is_served_again_and_is_the_next_baseline(pushed):
    done = pushed.roll_back()
    assert (done.previous, done.target) == ("3", "2") and int(done.pushed) > 3
    assert pushed.content() == "model 2"
    assert pushed.rolled_back() == [False, False, True]
    assert pushed.last_blessing() == pushed.blessings[1]


def test_a_model_in_a_bucket_is_served_again(pushed, bucket):
    serving = f"{bucket}/serving"
    storage.copy_tree(str(pushed.serving), serving)
    done = roll_back(pushed.store, PIPELINE, serving)
    assert (done.previous, done.target) == ("3", "2")
    assert storage.read_text(f"{serving}/{done.pushed}/saved_model.pb") == "model 2"
    assert model_at(pushed.store, f"{serving}/{done.pushed}").id == pushed.models[1]
    assert roll_back(pushed.store, PIPELINE, serving).target == "1"
    with pytest.raises(RollbackError, match=f"no version before .* in {serving}; the versions are"):
        roll_back(pushed.store, PIPELINE, serving)


def test_a_second_rollback_goes_one_model_further_back(pushed):
    pushed.roll_back()
    done = pushed.roll_back()
    assert pushed.content() == "model 1" and done.target == "1"
    assert pushed.rolled_back() == [False, True, True]
    with pytest.raises(RollbackError, match=r"no version before \d+ in .*serving; the versions are 1, 2 \(rolled "):
        pushed.roll_back()


def test_a_version_that_is_named_may_be_blessed_again(pushed):
    pushed.roll_back()
    pushed.roll_back("3")
    assert pushed.content() == "model 3"
    assert pushed.rolled_back() == [False, True, False]


def test_a_rollback_is_described_for_both_models(pushed):
    def described(number: int) -> str:
        [model] = pushed.store.get_artifacts_by_id([pushed.models[number - 1]])
        return rollback.describe_last(pushed.store, model)

    assert described(3) == described(2) == ""
    done = pushed.roll_back()
    for number in (2, 3):
        served = rf"version {done.pushed}, the model of 2, is served since the rollback at [-\d]+ [:\d]+"
        assert re.fullmatch(f"{served}; 3 is excluded from blessing", described(number))
    assert described(1) == ""
    back = pushed.roll_back("3")
    assert f"version {back.pushed}, the model of 3, is served" in described(3)
    assert f"; {done.pushed} is excluded from blessing" in described(2)
    pushed.push(int(back.pushed) + 1)
    assert f"version {back.pushed}, the model of 3, was served since" in described(3)


def test_a_rollback_is_a_push_like_any_other(pushed):
    done = pushed.roll_back()
    last = pushes_of(pushed.store, PIPELINE)[-1]
    assert (last.version, last.model.id, last.blessing.id) == (done.pushed, pushed.models[1], pushed.blessings[1])
    destination = str(pushed.serving / done.pushed)
    assert pushed_destinations(pushed.store) == [destination]
    assert model_at(pushed.store, destination).id == pushed.models[1]


def test_a_version_whose_files_are_gone_is_taken_from_the_models_artifact(pushed):
    (pushed.serving / "2" / "saved_model.pb").unlink()
    artifact = pushed.root / "model 2" / "Format-Serving" / "saved_model.pb"
    artifact.unlink()
    with pytest.raises(RollbackError, match="the files of version 2 are gone"):
        pushed.roll_back()
    assert pushed.rolled_back() == [False] * 3 and not pushed.executions()  # nothing was done
    artifact.write_text("model 2")
    pushed.roll_back()
    assert pushed.content() == "model 2"


@pytest.mark.parametrize("content", ["", "model", "\0" * 7])
def test_a_version_whose_files_are_damaged_is_taken_from_the_models_artifact(pushed, content):
    [artifact] = [push.artifact for push in pushes_of(pushed.store, PIPELINE) if push.version == "2"]
    artifact.custom_properties[FILES].string_value = describe(str(pushed.serving / "2"))
    pushed.store.put_artifacts([artifact])
    (pushed.serving / "2" / "saved_model.pb").write_text(content)
    pushed.roll_back()
    assert pushed.content() == "model 2"


def test_a_model_whose_push_was_killed_before_it_was_recorded_is_not_blessed_again(pushed):
    pushed.push(4, killed=True)
    assert pushed.roll_back("3").previous == "4"
    assert pushed.content() == "model 3"
    assert pushed.rolled_back() == [False, False, False, True]
    assert pushed.last_blessing() == pushed.blessings[2]


def test_the_version_before_one_whose_push_was_killed_is_known(pushed):
    pushed.push(4, killed=True)
    assert pushed.roll_back().target == "3"
    assert pushed.rolled_back() == [False, False, False, True]


class Killed(BaseException):
    """Stands for kill -9."""


@pytest.fixture
def kill(monkeypatch):
    """Has the next rollback killed: before its push, after it, or before it was recorded as complete."""

    def kill_at(moment: str) -> None:
        push, record = rollback.pusher.push, rollback.record_execution

        def push_and_die(*arguments):
            if moment == "after the push":
                push(*arguments)
            raise Killed

        def die_at_the_end(store, pipeline, execution, inputs, outputs):
            if execution.last_known_state == metadata_store_pb2.Execution.COMPLETE:
                raise Killed
            return record(store, pipeline, execution, inputs, outputs)

        with monkeypatch.context() as patch:
            if moment == "before it is complete":
                patch.setattr(rollback, "record_execution", die_at_the_end)
            else:
                patch.setattr(rollback.pusher, "push", push_and_die)
            yield

    return contextlib.contextmanager(kill_at)


@pytest.mark.parametrize("moment", ["before the push", "after the push", "before it is complete"])
@pytest.mark.parametrize("to", [None, "1"])
def test_a_rollback_that_was_killed_is_completed_by_the_next(pushed, kill, moment, to):
    with kill(moment), pytest.raises(Killed):
        pushed.roll_back(to)
    expected = int(to or 2)
    assert pushed.rolled_back() == [False, False, True] and pushed.last_blessing() == pushed.blessings[expected - 1]
    done = pushed.roll_back(to)
    assert (done.previous, done.target) == ("3", str(expected)) and pushed.content() == f"model {expected}"
    assert pushed.rolled_back() == [False, False, True]
    [execution] = pushed.executions()
    assert execution.last_known_state == metadata_store_pb2.Execution.COMPLETE
    versions = [push.version for push in pushes_of(pushed.store, PIPELINE)]
    assert versions == ["1", "2", "3", done.pushed] == sorted(os.listdir(pushed.serving), key=int)


def test_what_is_served_is_known_after_a_rollback_was_killed(pushed, kill):
    with kill("after the push"), pytest.raises(Killed):
        pushed.roll_back()
    newest = max(pushed.serving.iterdir(), key=lambda path: int(path.name))
    assert model_at(pushed.store, str(newest)).id == pushed.models[1]


def test_another_version_can_be_asked_for_after_a_rollback_was_killed(pushed, kill):
    with kill("after the push"), pytest.raises(Killed):
        pushed.roll_back()
    assert pushed.roll_back("1").target == "1"
    assert pushed.content() == "model 1" and pushed.rolled_back() == [False, True, True]
    states = [execution.last_known_state for execution in pushed.executions()]
    assert states == [metadata_store_pb2.Execution.CANCELED, metadata_store_pb2.Execution.COMPLETE]


def test_a_rollback_that_was_killed_is_history_once_another_model_was_pushed(pushed, kill):
    with kill("before the push"), pytest.raises(Killed):
        pushed.roll_back("1")
    pushed.push(4)
    done = pushed.roll_back()
    assert (done.previous, done.target) == ("4", "2") and pushed.content() == "model 2"


@pytest.mark.parametrize(
    ("to", "message"),
    [("7", "--to 7: no such version was pushed; the versions are 1, 2, 3"), ("3", "already being served")],
)
def test_an_impossible_version_is_refused(pushed, to, message):
    with pytest.raises(RollbackError, match=message):
        pushed.roll_back(to)


def test_an_empty_serving_directory_and_a_foreign_version_are_refused(pushed, tmp_path):
    with pytest.raises(RollbackError, match="nothing is served in"):
        roll_back(pushed.store, PIPELINE, str(tmp_path / "elsewhere"))
    (pushed.serving / "99").mkdir()
    with pytest.raises(RollbackError, match="99 was not pushed by this pipeline; choose one with --to: 1"):
        pushed.roll_back()
    pushed.roll_back("1")
    assert pushed.content() == "model 1"


def test_the_root_of_another_pipeline_is_refused(pushed):
    with pytest.raises(RollbackError, match=r"sample has pushed nothing to .*; runs exist for mine: choose one"):
        roll_back(pushed.store, "sample", str(pushed.serving))


def test_a_pushed_model_that_nothing_produced_is_no_version(pushed):
    # as after a database was repaired by hand
    orphan = pushed.mlmd.artifact("PushedModel", pushed_version="9", pushed=1)
    pipeline = pipeline_named(pushed.store, PIPELINE)
    attribution = metadata_store_pb2.Attribution(artifact_id=orphan, context_id=pipeline.id)
    pushed.store.put_attributions_and_associations([attribution], [])
    assert [push.version for push in pushes_of(pushed.store, PIPELINE)] == ["1", "2", "3"]
