import dataclasses
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tfx.components.trainer.fn_args_utils import FnArgs

from components.trainer import training
from components.trainer.checkpoints import Checkpoints
from components.trainer.input_pipeline import CaptionedFeatures
from components.trainer.training import Data
from components.trainer.watching import Reader
from pipeline import config
from tests.components.trainer.store import write_backbone, write_store

WORDS = ["<pad>", "<unk>", "<start>", "<end>", "dog", "cat", "bird", "sits", "there", "now"]
PICTURES = {"a.jpg": "sha a", "b.jpg": "sha b", "c.jpg": "sha c"}
IDS = {name: np.array([[2, 4 + n, 7, 8, 9, 3]], np.int32) for n, name in enumerate(PICTURES)}
SMALL = "{d_model: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, feed_forward: 32, dropout: 0.0, epochs: 25, "
CERTAIN = "warmup: 10, learning_rate: 0.02, precision: float32, select_by: bleu_4}"
SETTINGS = dataclasses.asdict(config.load(None, [f"trainer={SMALL}{CERTAIN}"]).trainer)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    manifest, _ = write_store(directory / "store", {"shard-1.tfrecord": PICTURES})
    (directory / "vocabulary").write_text("\n".join(WORDS) + "\n")
    return Data(manifest, {"train": IDS, "eval": IDS}, str(directory / "vocabulary"))


@pytest.fixture(scope="module", params=sorted(training.MODELS))
def trained(request, data, tmp_path_factory):
    """(model, the directory of its logs)."""
    logs = tmp_path_factory.mktemp("logs")
    settings = SETTINGS | {"model": request.param}
    keras.utils.set_random_seed(0)
    model = training.build(settings, data)
    training.fit(model, data, settings, Checkpoints(str(logs / "checkpoints")), str(logs))
    return model, logs


def test_either_model_learns_the_pictures_by_heart(trained, data):
    reader = Reader(trained[0], CaptionedFeatures(data.manifest, IDS, 64), WORDS)
    assert reader.bleu_4() == pytest.approx(1.0)
    assert sorted(reader.samples()) == [(f"{word} sits there now",) * 2 for word in ("bird", "cat", "dog")]


def test_the_curves_are_in_tensorboards_logs(trained):
    train, held_out = (
        EventAccumulator(str(trained[1] / name), {"tensors": 0}).Reload() for name in ("train", "validation")
    )
    assert set(train.Tags()["tensors"]) == {
        "epoch_loss", "epoch_accuracy", "epoch_learning_rate", "epoch_captions_per_second",
    }  # fmt: skip
    assert set(held_out.Tags()["tensors"]) == {"epoch_loss", "epoch_accuracy", "epoch_bleu_4", "captions"}
    losses = [float(tf.make_ndarray(event.tensor_proto)) for event in train.Tensors("epoch_loss")]
    assert len(losses) == 25 and losses[-1] < losses[0]


def captions_of(directory):
    """Epoch from 0 -> lines of the table of captions."""
    events = EventAccumulator(str(directory / "validation"), {"tensors": 0}).Reload().Tensors("captions")
    tables = [tf.make_ndarray(event.tensor_proto).reshape(-1) for event in events]
    return {event.step: table.decode().splitlines() for event, [table] in zip(events, tables, strict=True)}


def test_the_captions_of_some_pictures_are_in_the_logs_after_every_epoch(trained):
    captions = captions_of(trained[1])
    assert list(captions) == list(range(25))
    for heading, _, *lines in captions.values():
        assert heading == "| the model | a person |"
        assert sorted(line.split(" | ")[1] for line in lines) == [
            "bird sits there now |", "cat sits there now |", "dog sits there now |",
        ]  # fmt: skip
    assert "| cat sits there now | cat sits there now |" in captions[24] and captions[0] != captions[24]


class Killed(Exception):
    """The process is gone."""


def fn_args(directory, base_model=None, source="code", **settings):
    """What `run_fn` gets for three epochs of three steps, with a checkpoint after each."""
    brief = {"epochs": 3, "batch_size": 1, "dropout": 0.3, "checkpoint_steps": 1, "checkpoint_minutes": 0.0}
    return FnArgs(
        base_model=base_model,
        model_run_dir=str(directory / "run"),
        custom_config={
            "settings": SETTINGS | brief | settings,
            "checkpoint_dir": str(directory / "checkpoints"),
            "source": source,
        },
    )


@pytest.fixture
def exported(data, monkeypatch):
    """The weights of all models that `run_fn` would export, which then is given `data`."""
    exported = []
    write_backbone(pathlib.Path(data.manifest.directory))
    monkeypatch.setattr(training.Data, "load", lambda fn_args: data)
    monkeypatch.setattr(training.export, "save", lambda captioner, *_: exported.append(captioner.model.get_weights()))
    return exported


def curves_of(directory):
    curves = {}
    for name in ("train", "validation"):
        logs = EventAccumulator(str(directory / name), {"tensors": 0}).Reload()
        for tag in set(logs.Tags()["tensors"]) - {"captions", "epoch_captions_per_second"}:
            curves[name, tag] = [(each.step, float(tf.make_ndarray(each.tensor_proto))) for each in logs.Tensors(tag)]
    return curves


def test_a_run_that_was_killed_is_gone_on_with_by_the_next(exported, tmp_path, monkeypatch):
    save, saved, killed_at = Checkpoints.save, [], None

    def save_and_die(checkpoints, variables, state, weights_kept):
        save(checkpoints, variables, state, weights_kept)
        saved.append((state["epoch"], state["step"]))
        if saved[-1] == killed_at:
            raise Killed

    monkeypatch.setattr(Checkpoints, "save", save_and_die)
    training.run_fn(fn_args(tmp_path / "whole"))
    whole, killed_at = saved.copy(), (1, 2)  # in the second epoch
    assert whole == [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3), (3, 0)]

    saved.clear()
    with pytest.raises(Killed):
        training.run_fn(fn_args(tmp_path / "killed"))
    assert saved == whole[:6]
    (tmp_path / "killed" / "run").rename(tmp_path / "its logs")  # each execution has its own

    saved.clear()
    training.run_fn(fn_args(tmp_path / "killed"))
    assert saved == whole[6:]
    for again, uninterrupted in zip(*exported, strict=True):
        np.testing.assert_array_equal(again, uninterrupted)
    logs, logs_again = (tmp_path / name / "run" / "logs" for name in ("whole", "killed"))
    assert curves_of(logs_again) == curves_of(logs)
    captions = captions_of(logs)
    assert list(captions) == [0, 1, 2]
    # those of the first epoch are lost: the model has been trained on since
    assert captions_of(logs_again) == {epoch: captions[epoch] for epoch in (1, 2)}


def test_what_a_training_is_known_by(exported, data, tmp_path, monkeypatch):
    places = []
    monkeypatch.setattr(training, "fit", lambda model, data, settings, checkpoints, logs: places.append(checkpoints))
    same = [{}, {"checkpoint_steps": 5, "checkpoint_minutes": 5.0}]
    others = [{"seed": 1}, {"epochs": 4}, {"source": "other"}, {"base_model": "/gone"}]
    for changes in [*same, *others]:
        training.run_fn(fn_args(tmp_path, **changes))
    other = dataclasses.replace(data, ids={"train": IDS, "eval": {"a.jpg": IDS["a.jpg"]}})
    monkeypatch.setattr(training.Data, "load", lambda fn_args: other)
    training.run_fn(fn_args(tmp_path))
    directories = [checkpoints.directory for checkpoints in places]
    assert directories[0] == directories[1] and len(set(directories)) == 6


def test_a_model_to_start_from_that_is_gone_is_warned_of(exported, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(training, "fit", lambda *_: None)
    training.run_fn(fn_args(tmp_path, base_model="/gone"))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any("random weights, for files of the model to start from are gone: /gone" in each for each in warnings)


def test_the_settings_reach_the_model(data):
    model = training.build(SETTINGS | {"norm": "post", "model": "transformer"}, data)
    sizes = dataclasses.asdict(model.settings)
    expected = {"norm": "post", "d_model": 16, "vocabulary_size": 10, "grid": (2, 2), "channels": 3, "max_length": 6}
    assert {name: sizes[name] for name in expected} == expected


def test_data_that_differ_have_other_fingerprints(data, tmp_path):
    (tmp_path / "vocabulary").write_text("\n".join([*WORDS[:-1], "here"]) + "\n")
    others = [
        dataclasses.replace(data, ids={"train": IDS, "eval": {"a.jpg": IDS["a.jpg"]}}),
        dataclasses.replace(data, ids={"train": IDS | {"a.jpg": IDS["b.jpg"]}, "eval": IDS}),
        dataclasses.replace(data, manifest=dataclasses.replace(data.manifest, fingerprint="other")),
        dataclasses.replace(data, vocabulary_file=str(tmp_path / "vocabulary")),
    ]
    assert data.fingerprint() == dataclasses.replace(data).fingerprint()
    assert len({each.fingerprint() for each in [data, *others]}) == 5
