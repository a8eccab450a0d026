import dataclasses

import numpy as np
import pytest

from components.trainer import training
from components.trainer.checkpoints import CheckpointManager
from components.trainer.data import TrainingData
from components.trainer.loop import TrainingLoop
from components.trainer.self_critical import SelfCriticalLoop
from components.trainer.settings import OptimizerSettings, SelfCriticalSettings
from tests.components.trainer.factories import TRANSFORMER, trainer_settings
from tests.components.trainer.store import write_store

WORDS = ["<pad>", "<unk>", "<start>", "<end>", "dog", "cat", "bird", "sits", "there", "now"]
IMAGES = {f"{number}.jpg": f"sha {number}" for number in range(6)}
IDS = {name: np.array([[2, 4 + n % 3, 7, 8 + n // 3, 3, 0]], np.int32) for n, name in enumerate(IMAGES)}
FIRST_EPOCHS = 3
PHASE = SelfCriticalSettings(epochs=20, num_samples=4, images_per_step=2, learning_rate=0.02)
SETTINGS = trainer_settings(
    model=dataclasses.replace(TRANSFORMER, dropout=0.1),
    epochs=FIRST_EPOCHS,
    optimizer=OptimizerSettings(warmup_steps=10, peak_learning_rate=0.02),
    self_critical=PHASE,
    checkpoint_every_steps=2,
    num_averaged_checkpoints=2,
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    manifest, _ = write_store(tmp_path_factory.mktemp("data") / "store", [IMAGES])
    return TrainingData(manifest, {"train": IDS, "eval": IDS}, WORDS)


def train(data, directory, settings=SETTINGS):
    """Returns the model's weights, and the metrics of all epochs but for their speed, as they are logged."""
    metrics: list[dict] = []
    add = training.TensorBoardLogger.add
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            training.TensorBoardLogger, "add", lambda self, *args: (metrics.append(dict(args[0])), add(self, *args))
        )
        model = training.train(data, settings, CheckpointManager(str(directory / "checkpoints")), str(directory), None)
    assert all(epoch.pop("captions_per_second") >= 0 for epoch in metrics)
    return model.get_weights(), metrics


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    return train(data, tmp_path_factory.mktemp("uninterrupted"))


def assert_equal_weights(weights, expected):
    for weight, other in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(weight, other)


def test_rewards_rise(uninterrupted):
    _, metrics = uninterrupted
    assert [epoch["epoch"] for epoch in metrics] == list(range(1, FIRST_EPOCHS + PHASE.epochs + 1))
    assert not any("reward" in epoch for epoch in metrics[:FIRST_EPOCHS])
    first, *_, last = metrics[FIRST_EPOCHS:]
    assert first.keys() == {"epoch", "reward", "val_loss", "val_accuracy", "val_reward", "learning_rate"}
    assert last["reward"] > 1.5 * first["reward"] and last["val_reward"] > first["val_reward"]
    assert 0 < last["learning_rate"] < first["learning_rate"] < PHASE.learning_rate


def test_a_phase_that_helps_nothing_leaves_the_earlier_weights(data, tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=20)
    before, _ = train(data, tmp_path / "before", dataclasses.replace(settings, self_critical=SelfCriticalSettings()))
    ruinous = dataclasses.replace(PHASE, epochs=1, learning_rate=10.0)
    after, metrics = train(data, tmp_path / "after", dataclasses.replace(settings, self_critical=ruinous))
    assert len(metrics) == 21
    assert_equal_weights(after, before)


class Interrupted(Exception):
    """The process was killed."""


def test_a_resumed_phase_equals_an_uninterrupted_one(data, tmp_path, monkeypatch, uninterrupted):
    num_steps = 20  # in the seventh epoch of three steps each
    save, run_epoch = SelfCriticalLoop._save_if_due, TrainingLoop._run_epoch
    calls: list[int] = []

    def interrupt(self):
        save(self)
        calls.append(1)
        if len(calls) == num_steps:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(SelfCriticalLoop, "_save_if_due", interrupt)
        with pytest.raises(Interrupted):
            train(data, tmp_path)
    trained = []
    monkeypatch.setattr(TrainingLoop, "_run_epoch", lambda self: (trained.append(self.PHASE), run_epoch(self)))
    weights, metrics = train(data, tmp_path)
    assert set(trained) == {SelfCriticalLoop.PHASE}  # nothing of the first phase is trained again
    assert metrics == uninterrupted[1]
    assert_equal_weights(weights, uninterrupted[0])


def test_another_second_phase_begins_with_the_end_of_the_first(data, tmp_path, monkeypatch):
    phase = dataclasses.replace(PHASE, learning_rate=1e30, epochs=1)
    failing = dataclasses.replace(SETTINGS, seed=2**32 - 1, self_critical=phase)
    with pytest.raises(FloatingPointError, match=r"self-critical epoch 1.*lower trainer.self_critical.learning_rate"):
        train(data, tmp_path, failing)
    trained, run_epoch = [], TrainingLoop._run_epoch
    monkeypatch.setattr(TrainingLoop, "_run_epoch", lambda self: (trained.append(self.PHASE), run_epoch(self)))
    lower = dataclasses.replace(failing, self_critical=dataclasses.replace(phase, learning_rate=0.001))
    assert train(data, tmp_path, lower)[1][-1]["epoch"] == FIRST_EPOCHS + 1
    assert trained == [SelfCriticalLoop.PHASE]


def test_equal_captions_of_all_images_are_not_trained_on(data, tmp_path, caplog):
    equal = dict.fromkeys(IDS, IDS["0.jpg"])
    same = dataclasses.replace(data, ids={"train": equal, "eval": equal})
    _, metrics = train(same, tmp_path, dataclasses.replace(SETTINGS, epochs=1))
    assert len(metrics) == 1 and "No self-critical training" in caplog.text
