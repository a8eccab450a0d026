import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer import loop as loops
from components.trainer.checkpoints import STATE, Checkpoints
from components.trainer.decoding import greedy
from components.trainer.input_pipeline import CaptionedFeatures
from components.trainer.loop import Loop, LoopSettings
from components.trainer.optimization import OptimizerSettings, make_optimizer
from components.trainer.transformer import CaptionTransformer, TransformerSettings
from components.trainer.warm_start import make_weights
from tests.components.trainer.store import CHANNELS, GRID, write_store

SETTINGS = TransformerSettings(
    vocabulary_size=12, grid=GRID, channels=CHANNELS, max_length=5, encoder_layers=1, decoder_layers=1,
    d_model=16, heads=2, feed_forward=32, dropout=0.0,
)  # fmt: skip
PICTURES = {f"{n}.jpg": f"sha {n}" for n in range(8)}
IDS = {name: np.array([[2, 4 + n, 4 + n // 2, 3, 0]], np.int32) for n, name in enumerate(PICTURES)}
TOLD = ["loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("features") / "store", {"shard-1.tfrecord": PICTURES})


def make(store, directory, ids=IDS, held_out=IDS, dropout=0.0, score=None, optimizer=None, **settings) -> Loop:
    manifest, _ = store
    keras.utils.set_random_seed(0)
    model = CaptionTransformer(dataclasses.replace(SETTINGS, dropout=dropout))
    make_weights(model)
    settings = LoopSettings(**{"epochs": 3, "checkpoint_minutes": 0} | settings)
    train, eval_data = CaptionedFeatures(manifest, ids, 3), CaptionedFeatures(manifest, held_out, 3)
    optimizer = make_optimizer(optimizer or OptimizerSettings(warmup=10), 16, settings.epochs * train.steps)
    return Loop(model, optimizer, train, eval_data, settings, Checkpoints(str(directory)), score)


def curves(outcomes):
    return [[outcome[name] for name in TOLD] for outcome in outcomes]


def test_it_learns_the_pictures_by_heart(store, tmp_path):
    loop = make(store, tmp_path, epochs=40, optimizer=OptimizerSettings(learning_rate=0.01, warmup=10))
    history = list(loop.run())
    assert [outcome["epoch"] for outcome in history] == list(range(1, 41))
    assert history[-1]["loss"] < 0.1 < history[0]["loss"] and history[-1]["val_accuracy"] == 1.0
    assert history[0]["learning_rate"] == pytest.approx(0.01 * 3 / 10)  # of the third step, the epoch's last
    features = tf.constant([store[1][sha].astype("f") for sha in PICTURES.values()])
    said, _ = greedy(loop.model, features, 4)
    assert said.numpy()[:, :3].tolist() == [[4 + n, 4 + n // 2, 3] for n in range(8)]


class Killed(Exception):
    """The process is gone."""


@pytest.mark.parametrize("steps", [1, 4, 8])
def test_a_training_that_was_killed_ends_like_one_that_was_not(store, tmp_path, steps, monkeypatch):
    settings = {"epochs": 3, "dropout": 0.3, "captions_a_picture": 1}
    whole = make(store, tmp_path / "whole", **settings)
    expected = curves(whole.run())

    killed = make(store, tmp_path / "killed", checkpoint_steps=steps, **settings)
    killed_at, tell = 2 * killed.train.steps + 2, killed._tell

    def die():
        tell()
        if int(killed.optimizer.iterations) == killed_at:
            raise Killed

    monkeypatch.setattr(killed, "_tell", die)
    with pytest.raises(Killed):
        list(killed.run())

    again = make(store, tmp_path / "killed", **settings)
    trained = []
    monkeypatch.setattr(again, "_tell", lambda: trained.append(int(again.optimizer.iterations)))
    assert curves(again.run()) == expected
    assert trained[0] == killed_at - (killed_at - 1) % steps  # the first step after the last checkpoint
    for ours, theirs in zip(again.model.variables, whole.model.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_checkpoints_come_after_so_many_minutes(store, tmp_path, monkeypatch):
    now, saved = [0.0], []
    monkeypatch.setattr(loops.time, "monotonic", lambda: now[0])
    loop = make(store, tmp_path, epochs=2, checkpoint_minutes=1)
    monkeypatch.setattr(loop, "_tell", lambda: now.__setitem__(0, now[0] + 25))
    monkeypatch.setattr(loop.checkpoints, "save", lambda *_: saved.append(int(loop.optimizer.iterations)))
    list(loop.run())
    assert saved == [3, 6]


def test_the_best_epochs_weights_are_kept_not_the_last(store, tmp_path):
    train, held_out = {name: IDS[name] for name in ("0.jpg", "1.jpg")}, {"7.jpg": IDS["7.jpg"]}
    loop = make(store, tmp_path, train, held_out, epochs=20)  # train will never teach what is held out
    losses = [outcome["val_loss"] for outcome in loop.run()]
    assert min(losses) < losses[-1]
    assert loop._measured()["val_loss"] == pytest.approx(min(losses), rel=1e-4)


def test_the_mean_of_the_best_epochs_is_kept_if_it_is_better(store, tmp_path):
    train, held_out = {name: IDS[name] for name in ("0.jpg", "1.jpg")}, {"7.jpg": IDS["7.jpg"]}
    loop = make(store, tmp_path, train, held_out, epochs=12, average=3)
    losses = [outcome["val_loss"] for outcome in loop.run()]
    assert loop.at.best == [int(epoch) + 1 for epoch in np.argsort(losses)[:3]]
    kept = [np.array(variable) for variable in loop.model.trainable_variables]
    loop.checkpoints.load_weights([str(epoch) for epoch in loop.at.best], loop.model.trainable_variables)
    mean = [np.array(variable) for variable in loop.model.trainable_variables]
    better = loop._measured()["val_loss"] <= min(losses)
    assert all(np.array_equal(*pair) for pair in zip(kept, mean, strict=True)) == better


def test_it_ends_when_nothing_gets_better(store, tmp_path):
    train, held_out = {name: IDS[name] for name in ("0.jpg", "1.jpg")}, {"7.jpg": IDS["7.jpg"]}
    loop = make(store, tmp_path, train, held_out, epochs=100, patience=2)
    losses = [outcome["val_loss"] for outcome in loop.run()]
    assert len(losses) == np.argmin(losses) + 1 + 2 < 100


def test_bleu_chooses_where_it_is_asked_to(store, tmp_path):
    scores = iter([0.1, 0.4, 0.2, 0.3])
    loop = make(store, tmp_path, epochs=3, select_by="bleu_4", score=lambda: next(scores))
    assert [outcome["val_bleu_4"] for outcome in loop.run()] == [0.1, 0.4, 0.2]
    assert loop.at.best == [2]


def test_a_loss_that_is_no_number_stops_the_training(store, tmp_path):
    loop = make(store, tmp_path, optimizer=OptimizerSettings(learning_rate=1e30, warmup=1))
    with pytest.raises(
        FloatingPointError, match=r"the loss became (nan|inf) in step 2 \(epoch 1\) at the learning rate 7.07e\+29: "
    ):
        list(loop.run())
    assert not (tmp_path / STATE).exists()


def test_a_loss_on_eval_that_is_no_number_stops_it_too(store, tmp_path):
    scored, train = [], {name: IDS[name] for name in ("0.jpg", "1.jpg")}
    optimizer = OptimizerSettings(learning_rate=1e30, warmup=1)
    loop = make(store, tmp_path, train, optimizer=optimizer, score=lambda: scored.append(1) or 0.5)
    with pytest.raises(
        FloatingPointError, match=r"loss on eval became (nan|inf) in step 1 \(epoch 1\) at the learning rate 1e\+30: "
    ):
        list(loop.run())
    assert not scored


def test_the_pace_counts_the_waiting_for_batches_but_no_checkpoints(store, tmp_path, monkeypatch):
    now = [0.0]

    def after(seconds, result=None):
        now[0] += seconds
        return result

    monkeypatch.setattr(loops.time, "monotonic", lambda: now[0])
    loop = make(store, tmp_path, epochs=1, checkpoint_steps=1)
    shuffled, step = loop.train.shuffled, loop._train_step
    monkeypatch.setattr(loop.train, "shuffled", lambda *args, **kw: (after(2, each) for each in shuffled(*args, **kw)))
    monkeypatch.setattr(loop, "_train_step", lambda batch: after(1, step(batch)))
    monkeypatch.setattr(loop.checkpoints, "save", lambda *_: after(100))
    [outcome] = loop.run()
    assert outcome["captions_per_second"] == pytest.approx(8 / (3 * (2 + 1)))


def test_progress_is_told_with_the_time_that_is_left(store, tmp_path, caplog, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(loops.time, "monotonic", lambda: now[0])
    caplog.set_level("INFO", "captions.progress")
    loop = make(store, tmp_path, epochs=2)
    step = loop._train_step

    def slow(batch):
        now[0] += 2 if int(loop.optimizer.iterations) else 100  # the first step compiles
        return {name: tf.zeros_like(value) + 3.0 for name, value in step(batch).items()}

    monkeypatch.setattr(loop, "_train_step", slow)
    list(loop.run())
    assert caplog.messages == [
        "epoch 1 of 2, loss 1.000, accuracy 1.000, 0 captions/s, 8 s left",
        "epoch 1 of 2, loss 1.000, accuracy 1.000, 0 captions/s, 6 s left",
        "epoch 2 of 2, loss 1.000, accuracy 1.000, 2 captions/s, 4 s left",
        "epoch 2 of 2, loss 1.000, accuracy 1.000, 2 captions/s, 2 s left",
        "epoch 2 of 2, loss 1.000, accuracy 1.000, 2 captions/s, 0 s left",
    ]
