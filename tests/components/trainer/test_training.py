import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from components.trainer import training
from components.trainer.checkpoints import Checkpoints
from components.trainer.input_pipeline import CaptionedFeatures
from components.trainer.training import Data
from components.trainer.watching import Reader
from pipeline import config
from tests.components.trainer.store import write_store

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
    [said] = tf.make_ndarray(held_out.Tensors("captions")[-1].tensor_proto).reshape(-1)
    assert b"| cat sits there now | cat sits there now |" in said


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
