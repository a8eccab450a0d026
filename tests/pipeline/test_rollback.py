import pathlib

import pytest

from components import records
from pipeline.rollback import CannotRollBack, pushes_of, roll_back
from tests.past import Past


class Served:
    """Models that a pipeline has pushed one after the other, as versions 1, 2, …"""

    def __init__(self, root: pathlib.Path, models: int):
        self.past, self.root, self.serving = Past(), root, root / "serving"
        self.store = self.past.store
        self.models, self.blessings = [], []
        self.serving.mkdir()
        for number in range(1, models + 1):
            self.push(number)

    def push(self, number: int) -> None:
        version = self.serving / str(number)
        version.mkdir()
        (version / "saved_model.pb").write_text(f"model {number}")
        self.models.append(self.past.artifact("Model", str(self.root / f"model {number}")))
        self.blessings.append(self.past.artifact("ModelBlessing", current_model_id=self.models[-1], blessed=1))
        self.past.execute("BleuEvaluator", {"model": self.models[-1]}, {"blessing": self.blessings[-1]})
        pushed = self.past.artifact("PushedModel", pushed_version=str(number), pushed=1)
        inputs = {"model": self.models[-1], "model_blessing": self.blessings[-1]}
        self.past.execute("Pusher", inputs, {"pushed_model": pushed})

    def content(self) -> str:
        newest = max(self.serving.iterdir(), key=lambda path: int(path.name))
        return (newest / "saved_model.pb").read_text()

    def back(self, to: str | None = None):
        return roll_back(self.store, "mine", str(self.serving), to)

    def withdrawn(self) -> list[bool]:
        models = self.store.get_artifacts_by_id(self.models)
        return [records.ROLLED_BACK in model.custom_properties for model in models]

    def last_blessing(self) -> int:
        """As the Resolver finds it: the one that was put out last."""
        outputs = [e for e in self.store.get_events_by_artifact_ids(self.blessings) if e.type == 4]
        return max(outputs, key=lambda event: event.execution_id).artifact_id


@pytest.fixture
def served(tmp_path) -> Served:
    return Served(tmp_path, 3)


def test_the_model_before_is_served_again_and_is_the_next_baseline(served):
    done = served.back()
    assert (done.gone, done.back) == ("3", "2") and int(done.new) > 3
    assert served.content() == "model 2"
    assert served.withdrawn() == [False, False, True]
    assert served.last_blessing() == served.blessings[1]


def test_again_it_goes_one_further_back(served):
    served.back()
    done = served.back()
    assert served.content() == "model 1" and done.back == "1"
    assert served.withdrawn() == [False, True, True]
    with pytest.raises(CannotRollBack, match=r"no version before \d+ to go back to; there are 1, 2 \(rolled back\)"):
        served.back()


def test_a_version_that_is_named_is_good_again(served):
    served.back()
    served.back("3")
    assert served.content() == "model 3"
    assert served.withdrawn() == [False, True, False]


def test_what_was_rolled_back_is_known_like_any_push(served):
    done = served.back()
    last = pushes_of(served.store, "mine")[-1]
    assert (last.version, last.model.id, last.blessing.id) == (done.new, served.models[1], served.blessings[1])


def test_a_version_whose_files_are_gone_is_taken_from_the_models_artifact(served):
    (served.serving / "2" / "saved_model.pb").unlink()
    with pytest.raises(CannotRollBack, match="version 2 is gone"):
        served.back()
    assert served.withdrawn() == [False] * 3  # nothing was done
    directory = served.root / "model 2" / "Format-Serving"
    directory.mkdir(parents=True)
    (directory / "saved_model.pb").write_text("model 2")
    served.back()
    assert served.content() == "model 2"


@pytest.mark.parametrize(
    ("to", "said"), [("7", "no version 7 was pushed; there are 1, 2, 3"), ("3", "is the model that")]
)
def test_a_version_that_can_not_be_is_said(served, to, said):
    with pytest.raises(CannotRollBack, match=said):
        served.back(to)


def test_nothing_served_and_a_version_of_others_are_said(served, tmp_path):
    with pytest.raises(CannotRollBack, match="nothing is served in"):
        roll_back(served.store, "mine", str(tmp_path / "elsewhere"))
    (served.serving / "99").mkdir()
    with pytest.raises(CannotRollBack, match="99 was not pushed by this pipeline: say where to go with --to, one of 1"):
        served.back()
    served.back("1")
    assert served.content() == "model 1"


def test_another_pipelines_root_is_said(served):
    with pytest.raises(CannotRollBack, match=r"sample has pushed nothing to .*; there are runs of mine: name the"):
        roll_back(served.store, "sample", str(served.serving))
