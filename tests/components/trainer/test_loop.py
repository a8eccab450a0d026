import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.shared.models import decoding, registry, weights
from components.shared.models.decoding_settings import DecodingSettings
from components.shared.models.protocol import ModelInputs
from components.trainer.checkpoints import STATE, CheckpointManager
from components.trainer.input_pipeline import CaptionedFeatures
from components.trainer.loop import TrainingLoop
from components.trainer.optimization import make_optimizer
from components.trainer.settings import OptimizerSettings
from tests.components.trainer.factories import COUNTING, TRANSFORMER, trainer_settings
from tests.components.trainer.store import CHANNELS, GRID, write_store

INPUTS = ModelInputs(vocabulary_size=12, grid=GRID, channels=CHANNELS, max_length=5, compute_dtype="float32")
IMAGES = {f"{n}.jpg": f"sha {n}" for n in range(8)}
IDS = {name: np.array([[2, 4 + n, 4 + n // 2, 3, 0]], np.int32) for n, name in enumerate(IMAGES)}
# captions from which nothing can be learned about those of eval, so that eval gets worse
TRAIN_IDS, EVAL_IDS = {name: IDS[name] for name in ("0.jpg", "1.jpg")}, {"7.jpg": IDS["7.jpg"]}
DETERMINISTIC_METRICS = ["loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]
DIVERGING = OptimizerSettings(peak_learning_rate=1e30, warmup_steps=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("features") / "store", [IMAGES])


class Clock:
    """A clock that stands still until it is advanced."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Batches:
    """Train data that calls a function before it yields a batch."""

    def __init__(self, data: CaptionedFeatures, before_batch):
        self._data, self._before_batch = data, before_batch
        self.num_batches = data.num_batches

    def shuffled(self, *args, **kwargs):
        for batch in self._data.shuffled(*args, **kwargs):
            self._before_batch()
            yield batch


def make_loop(
    store, directory, ids=IDS, eval_ids=IDS, dropout=0.0, score=None, clock=None, before_batch=None, checkpoints=None,
    **changes,
) -> TrainingLoop:  # fmt: skip
    manifest, _ = store
    settings = trainer_settings(model=dataclasses.replace(TRANSFORMER, dropout=dropout), **changes)
    keras.utils.set_random_seed(0)
    model = weights.build(settings.model, INPUTS)
    train_data, eval_data = (
        CaptionedFeatures(manifest, split, settings.batch_size, settings.loss_weighting, number)
        for split, number in ((ids, settings.captions_per_image), (eval_ids, 0))
    )
    optimizer = make_optimizer(settings.optimizer, settings.model.d_model, settings.epochs * train_data.num_batches)
    return TrainingLoop(
        model,
        optimizer,
        Batches(train_data, before_batch) if before_batch else train_data,
        eval_data,
        settings,
        checkpoints or CheckpointManager(str(directory)),
        score,
        **({"clock": clock} if clock else {}),
    )


def curves(history):
    return [[metrics[name] for name in DETERMINISTIC_METRICS] for metrics in history]


def test_a_model_overfits_a_few_images(store, tmp_path):
    loop = make_loop(store, tmp_path, epochs=40, optimizer=OptimizerSettings(peak_learning_rate=0.01, warmup_steps=10))
    history = list(loop.run())
    assert [metrics["epoch"] for metrics in history] == list(range(1, 41))
    assert history[-1]["loss"] < 0.1 < history[0]["loss"] and history[-1]["val_accuracy"] == 1.0
    assert history[0]["learning_rate"] == pytest.approx(0.01 * 3 / 10)  # that of the epoch's last step, the third
    features = tf.constant([store[1][sha].astype("f") for sha in IMAGES.values()])
    ids, _ = decoding.decode(loop.model, features, DecodingSettings(beam_size=1))
    assert ids.numpy()[:, :3].tolist() == [[4 + n, 4 + n // 2, 3] for n in range(8)]


class Interrupted(Exception):
    """The process was killed."""


@pytest.mark.parametrize(("every_steps", "resumed_after"), [(1, 7), (4, 4), (8, 0)])
def test_a_resumed_training_equals_an_uninterrupted_one(store, tmp_path, every_steps, resumed_after):
    settings = {"epochs": 3, "dropout": 0.3, "captions_per_image": 1}
    uninterrupted = make_loop(store, tmp_path / "uninterrupted", **settings)
    expected = curves(uninterrupted.run())

    num_steps = 7  # in the third epoch of three steps each

    def interrupt():
        if int(interrupted.optimizer.iterations) == num_steps:
            raise Interrupted

    directory = tmp_path / "interrupted"
    interrupted = make_loop(store, directory, checkpoint_every_steps=every_steps, before_batch=interrupt, **settings)
    with pytest.raises(Interrupted):
        list(interrupted.run())

    iterations = []
    resumed = make_loop(
        store, directory, before_batch=lambda: iterations.append(int(resumed.optimizer.iterations)), **settings
    )
    assert curves(resumed.run()) == expected
    assert iterations == list(range(resumed_after, 9))
    for variable, reference in zip(resumed.model.variables, uninterrupted.model.variables, strict=True):
        np.testing.assert_array_equal(variable, reference)


def test_resumption_is_logged(store, tmp_path, caplog):
    caplog.set_level("INFO", "captions.progress")
    list(make_loop(store, tmp_path, epochs=2, checkpoint_every_steps=5).run())
    list(make_loop(store, tmp_path, epochs=2).run())
    assert "Resuming epoch 2 after step 2" in caplog.messages


class RecordingCheckpoints(CheckpointManager):
    """Checkpoints that call a function when one is due, instead of writing it."""

    def __init__(self, directory, save):
        super().__init__(str(directory))
        self._save = save

    def save(self, variables, state, weights_to_keep):
        self._save()


def test_checkpoints_are_saved_every_few_minutes(store, tmp_path):
    clock, saved = Clock(), []

    def advance():
        clock.now += 25

    loop = make_loop(
        store,
        tmp_path,
        epochs=2,
        checkpoint_every_minutes=1,
        clock=clock,
        before_batch=advance,
        checkpoints=RecordingCheckpoints(tmp_path, lambda: saved.append(int(loop.optimizer.iterations))),
    )
    list(loop.run())
    assert saved == [3, 6]


def test_the_best_epochs_weights_are_restored(store, tmp_path):
    loop = make_loop(store, tmp_path, TRAIN_IDS, EVAL_IDS, epochs=20)
    losses = [metrics["val_loss"] for metrics in loop.run()]
    assert min(losses) < losses[-1]
    assert loop.evaluate()["val_loss"] == pytest.approx(min(losses), rel=1e-4)


def test_the_average_of_the_best_epochs_is_kept_if_it_is_better(store, tmp_path):
    loop = make_loop(store, tmp_path, TRAIN_IDS, EVAL_IDS, epochs=12, num_averaged_checkpoints=3)
    losses = [metrics["val_loss"] for metrics in loop.run()]
    assert loop.state.best_epochs == [int(epoch) + 1 for epoch in np.argsort(losses)[:3]]
    kept = [np.array(variable) for variable in loop.model.trainable_variables]
    loop.checkpoints.load_weights([str(epoch) for epoch in loop.state.best_epochs], loop.model.trainable_variables)
    average = [np.array(variable) for variable in loop.model.trainable_variables]
    is_better = loop.evaluate()["val_loss"] <= min(losses)
    assert all(np.array_equal(*pair) for pair in zip(kept, average, strict=True)) == is_better


@pytest.mark.parametrize("num_averaged_checkpoints", [1, 2])
def test_weights_that_are_not_trained_are_restored_too(store, tmp_path, monkeypatch, num_averaged_checkpoints):
    monkeypatch.setitem(registry.MODELS, "transformer", COUNTING)
    averaged = {"num_averaged_checkpoints": num_averaged_checkpoints}
    loop = make_loop(store, tmp_path, TRAIN_IDS, EVAL_IDS, epochs=8, **averaged)
    list(loop.run())
    best = loop.state.best_epochs  # of one step each
    assert best[0] < 8
    assert float(loop.model.num_steps) in {float(best[0]), sum(best) / len(best)}


def test_early_stopping_after_epochs_without_improvement(store, tmp_path):
    loop = make_loop(store, tmp_path, TRAIN_IDS, EVAL_IDS, epochs=100, early_stopping_patience=2)
    losses = [metrics["val_loss"] for metrics in loop.run()]
    assert len(losses) == np.argmin(losses) + 1 + 2 < 100


def test_bleu_4_can_be_the_checkpoint_metric(store, tmp_path):
    scores = iter([0.1, 0.4, 0.2, 0.3])
    loop = make_loop(store, tmp_path, epochs=3, checkpoint_metric="bleu_4", score=lambda: next(scores))
    assert [metrics["val_bleu_4"] for metrics in loop.run()] == [0.1, 0.4, 0.2]
    assert loop.state.best_epochs == [2]


def test_a_non_finite_loss_stops_the_training(store, tmp_path):
    loop = make_loop(store, tmp_path, optimizer=DIVERGING)
    message = (
        r"Non-finite loss at step 2 \(epoch 1\): (nan|inf), learning rate 7.07e\+29; raise "
        r"trainer.optimizer.warmup_steps, or lower trainer.optimizer.peak_learning_rate"
    )
    with pytest.raises(FloatingPointError, match=message):
        list(loop.run())
    assert not (tmp_path / STATE).exists()


def test_a_non_finite_eval_loss_stops_the_training_before_the_score(store, tmp_path):
    scored = []
    loop = make_loop(store, tmp_path, TRAIN_IDS, optimizer=DIVERGING, score=lambda: scored.append(1) or 0.5)
    message = r"Non-finite eval loss at step 1 \(epoch 1\): (nan|inf), learning rate 1e\+30; "
    with pytest.raises(FloatingPointError, match=message):
        list(loop.run())
    assert not scored


def test_throughput_includes_waiting_for_batches_but_not_checkpoints(store, tmp_path):
    clock = Clock()

    def advance(seconds):
        clock.now += seconds

    loop = make_loop(
        store,
        tmp_path,
        epochs=1,
        checkpoint_every_steps=1,
        clock=clock,
        before_batch=lambda: advance(2),
        checkpoints=RecordingCheckpoints(tmp_path, lambda: advance(100)),
    )
    train_step, captions = loop.train_step, []

    def slow_step(batch):
        advance(1 if captions else 1000)  # the first step traces the graph
        sums = train_step(batch)
        captions.append(float(sums["captions"]))
        return sums

    loop.train_step = slow_step
    [metrics] = loop.run()
    timed_captions = sum(captions[1:])
    assert len(captions) == 3
    assert metrics["captions_per_second"] == pytest.approx(timed_captions / (2 * (2 + 1)))


def test_progress_is_logged_with_the_remaining_time(store, tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO", "captions.progress")
    clock = Clock()
    monkeypatch.setattr("components.trainer.loop.MIN_TIMED_STEPS", 2)
    loop = make_loop(store, tmp_path, epochs=2, clock=clock)
    train_step = loop.train_step

    def slow_step(batch):
        clock.now += 2 if int(loop.optimizer.iterations) else 100  # the first step compiles
        return {name: tf.zeros_like(value) + 3.0 for name, value in train_step(batch).items()}

    loop.train_step = slow_step
    for _ in loop.run():
        clock.now += 50  # the first evaluation compiles, too
    # absl's logger has the level that another test may have set
    assert [record.getMessage() for record in caplog.records if record.name == "captions.progress"] == [
        "epoch 1 of 2, loss 1.000, accuracy 1.000, 2 captions/s, ETA unknown",  # the first steps are the slowest
        "epoch 1 of 2, loss 1.000, accuracy 1.000, 2 captions/s, ETA 6 s",
        "epoch 2 of 2, loss 1.000, accuracy 1.000, 2 captions/s, ETA unknown",
        "epoch 2 of 2, loss 1.000, accuracy 1.000, 2 captions/s, ETA 2 s",
        "epoch 2 of 2, loss 1.000, accuracy 1.000, 2 captions/s, ETA 0 s",
    ]
