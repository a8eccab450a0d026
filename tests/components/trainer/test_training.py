import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from components.bleu_evaluator.measurement import measure
from components.shared.words import Tokenization
from components.trainer import devices, training
from components.trainer.checkpoints import CheckpointManager
from components.trainer.data import TrainingData
from components.trainer.input_pipeline import CaptionedFeatures
from components.trainer.monitoring import ValidationDecoder
from components.trainer.settings import OptimizerSettings
from tests.components.trainer.factories import GRU, TRANSFORMER, trainer_settings
from tests.components.trainer.store import write_store

WORDS = ["<pad>", "<unk>", "<start>", "<end>", "dog", "cat", "bird", "sits", "there", "now"]
IMAGES = {"a.jpg": "sha a", "b.jpg": "sha b", "c.jpg": "sha c"}
IDS = {name: np.array([[2, 4 + n, 7, 8, 9, 3]], np.int32) for n, name in enumerate(IMAGES)}
NUM_EPOCHS = 25
OVERFITTING = {
    "epochs": NUM_EPOCHS,
    "batch_size": 64,
    "optimizer": OptimizerSettings(warmup_steps=10, peak_learning_rate=0.02),
    "checkpoint_metric": "bleu_4",
}
SHORT = trainer_settings(
    model=dataclasses.replace(TRANSFORMER, dropout=0.3),
    batch_size=1,
    checkpoint_metric="bleu_4",
    checkpoint_every_steps=1,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    manifest, _ = write_store(tmp_path_factory.mktemp("data") / "store", [IMAGES])
    return TrainingData(manifest, {"train": IDS, "eval": IDS}, WORDS)


@pytest.fixture(scope="module", params=[TRANSFORMER, GRU], ids=lambda model: model.name)
def trained(request, data, tmp_path_factory):
    """(model, the directory of its logs)."""
    logs = tmp_path_factory.mktemp("logs")
    settings = trainer_settings(model=request.param, **OVERFITTING)
    return training.train(data, settings, CheckpointManager(str(logs / "checkpoints")), str(logs), None), logs


def test_each_model_overfits_a_few_images(trained, data):
    decoder = ValidationDecoder(trained[0], CaptionedFeatures(data.manifest, IDS, 64, "per_caption"), WORDS)
    assert decoder.bleu_4() == pytest.approx(1.0)
    assert sorted(decoder.samples()) == [(f"{word} sits there now",) * 2 for word in ("bird", "cat", "dog")]


def test_a_checkpoint_is_chosen_by_the_evaluators_bleu_4(data):
    decoder = ValidationDecoder(None, CaptionedFeatures(data.manifest, IDS, 64, "per_caption"), WORDS)
    # mocked: the model; the third caption is too short for an n-gram of order 4, where programs differ
    predictions = ["dog sits there now", "bird sits there now", "bird"]
    ids = [[WORDS.index(word) for word in text.split()] for text in predictions]
    decoder._decode = lambda features: tf.constant([row + [3] + [0] * (4 - len(row)) for row in ids])
    references = [[f"{word} sits there now"] for word in ("dog", "cat", "bird")]
    assert decoder.bleu_4() == pytest.approx(
        measure(predictions, references, Tokenization()).scalars()["bleu_4"], rel=1e-9
    )


def test_metrics_are_in_the_tensorboard_logs(trained):
    train, validation = (
        EventAccumulator(str(trained[1] / name), {"tensors": 0}).Reload() for name in ("train", "validation")
    )
    assert set(train.Tags()["tensors"]) == {
        "epoch_loss", "epoch_accuracy", "epoch_learning_rate", "epoch_captions_per_second",
    }  # fmt: skip
    assert set(validation.Tags()["tensors"]) == {"epoch_loss", "epoch_accuracy", "epoch_bleu_4", "captions"}
    losses = [float(tf.make_ndarray(event.tensor_proto)) for event in train.Tensors("epoch_loss")]
    assert len(losses) == NUM_EPOCHS and losses[-1] < losses[0]


def sample_tables(directory):
    """Epoch from 0 -> lines of its table of sample captions."""
    events = EventAccumulator(str(directory / "validation"), {"tensors": 0}).Reload().Tensors("captions")
    tables = [tf.make_ndarray(event.tensor_proto).reshape(-1) for event in events]
    return {event.step: table.decode().splitlines() for event, [table] in zip(events, tables, strict=True)}


def test_sample_captions_are_logged_after_every_epoch(trained):
    tables = sample_tables(trained[1])
    assert list(tables) == list(range(NUM_EPOCHS))
    for heading, _, *lines in tables.values():
        assert heading == "| prediction | reference |"
        assert sorted(line.split(" | ")[1] for line in lines) == [
            "bird sits there now |", "cat sits there now |", "dog sits there now |",
        ]  # fmt: skip
    last = tables[NUM_EPOCHS - 1]
    assert "| cat sits there now | cat sits there now |" in last and tables[0] != last


class Interrupted(Exception):
    """The process was killed."""


class InterruptingCheckpoints(CheckpointManager):
    """Checkpoints that record (epoch, step) of each, and interrupt the training after one of them."""

    def __init__(self, directory, interrupt_after=None):
        super().__init__(str(directory))
        self.saved, self._interrupt_after = [], interrupt_after

    def save(self, variables, state, weights_to_keep):
        super().save(variables, state, weights_to_keep)
        self.saved.append((state["epoch"], state["step"]))
        if self.saved[-1] == self._interrupt_after:
            raise Interrupted


def curves(directory):
    values = {}
    for name in ("train", "validation"):
        logs = EventAccumulator(str(directory / name), {"tensors": 0}).Reload()
        for tag in set(logs.Tags()["tensors"]) - {"captions", "epoch_captions_per_second"}:
            events = logs.Tensors(tag)
            values[name, tag] = [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in events]
    return values


def test_an_interrupted_training_is_resumed_by_the_next_execution(data, tmp_path):
    def train(name, logs, interrupt_after=None):
        checkpoints = InterruptingCheckpoints(tmp_path / name, interrupt_after)
        try:
            model = training.train(data, SHORT, checkpoints, str(tmp_path / logs), None)
        except Interrupted:
            return None, checkpoints.saved
        return model, checkpoints.saved

    uninterrupted, saved = train("uninterrupted", "logs")
    assert saved == [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3), (3, 0)]

    assert train("interrupted", "lost logs", interrupt_after=(1, 2)) == (None, saved[:6])  # in the second epoch
    resumed, saved_later = train("interrupted", "logs of both")
    assert saved_later == saved[6:]
    for variable, reference in zip(resumed.get_weights(), uninterrupted.get_weights(), strict=True):
        np.testing.assert_array_equal(variable, reference)
    assert curves(tmp_path / "logs of both") == curves(tmp_path / "logs")
    tables = sample_tables(tmp_path / "logs")
    assert list(tables) == [0, 1, 2]
    # those of the first epoch are lost: the model has been trained further since
    assert sample_tables(tmp_path / "logs of both") == {epoch: tables[epoch] for epoch in (1, 2)}


def test_training_key_depends_on_all_that_determines_a_training(data):
    key = {"settings": SHORT, "label": "transformer", "code": "code", "base_model": None, "data": data}
    equal = {"settings": dataclasses.replace(SHORT, checkpoint_every_steps=5, checkpoint_every_minutes=5.0)}
    different = [
        {"settings": dataclasses.replace(SHORT, seed=1)},
        {"settings": dataclasses.replace(SHORT, epochs=4)},
        {"settings": dataclasses.replace(SHORT, model=GRU)},
        {"settings": dataclasses.replace(SHORT, optimizer=OptimizerSettings(warmup_steps=11))},
        {"label": "transformer_2"},
        {"code": "other"},
        {"base_model": "/model"},
        {"data": dataclasses.replace(data, ids={"train": IDS, "eval": {"a.jpg": IDS["a.jpg"]}})},
    ]
    first = training.training_key(**key)
    assert training.training_key(**key | equal) == first
    assert len({first, *(training.training_key(**key | changes) for changes in different)}) == len(different) + 1


def test_training_key_depends_on_the_dtype_that_auto_stands_for(data, monkeypatch):
    settings, keys = dataclasses.replace(SHORT, compute_dtype="auto"), set()
    for dtype in ("float32", "bfloat16"):
        # mocked: the processor
        monkeypatch.setattr(devices, "compute_dtype", lambda setting, dtype=dtype: dtype)
        keys.add(training.training_key(settings, "transformer", "code", None, data))
    assert len(keys) == 2


def test_a_missing_base_model_is_a_warning(data, tmp_path, caplog):
    settings = trainer_settings(epochs=1)
    model = training.train(data, settings, CheckpointManager(str(tmp_path / "key")), str(tmp_path / "logs"), "/missing")
    [warning] = [record.getMessage() for record in caplog.records if record.name == "captions.progress"]
    assert warning.startswith("Base model not found; training from scratch: /missing/")
    assert model.settings == settings.model


def test_model_inputs_come_from_the_data(data):
    inputs = dataclasses.asdict(data.model_inputs("float32"))
    assert inputs == {
        "vocabulary_size": 10, "grid": (2, 2), "channels": 3, "max_length": 6, "compute_dtype": "float32",
    }  # fmt: skip


def test_different_data_have_different_fingerprints(data):
    others = [
        dataclasses.replace(data, ids={"train": IDS, "eval": {"a.jpg": IDS["a.jpg"]}}),
        dataclasses.replace(data, ids={"train": IDS | {"a.jpg": IDS["b.jpg"]}, "eval": IDS}),
        dataclasses.replace(data, manifest=dataclasses.replace(data.manifest, fingerprint="other")),
        dataclasses.replace(data, words=[*WORDS[:-1], "here"]),
    ]
    assert data.fingerprint() == dataclasses.replace(data).fingerprint()
    assert len({training_data.fingerprint() for training_data in [data, *others]}) == 5
