import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.features import Backbone
from components.trainer import export, training
from components.trainer.decoding import greedy
from components.trainer.input_pipeline import make_dataset
from components.trainer.training import TrainingSettings, fit
from components.trainer.transformer import CaptionTransformer, TransformerSettings
from tests.components.trainer.store import CHANNELS, GRID, write_backbone, write_store

WORDS = ["<pad>", "<unk>", "<start>", "<end>", "dog", "cat", "bird", "runs"]
SETTINGS = TransformerSettings(
    vocabulary_size=len(WORDS), grid=GRID, channels=CHANNELS, max_length=5, encoder_layers=1, decoder_layers=1,
    d_model=16, heads=2, feed_forward=32, dropout=0.0,
)  # fmt: skip
PICTURES = {"a.jpg": "sha a", "b.jpg": "sha b", "c.jpg": "sha c"}
IDS = {name: np.array([[2, 4 + n, 7, 3, 0]], np.int32) for n, name in enumerate(PICTURES)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that has learnt three pictures by heart: (model, manifest, features, run directory, history)."""
    directory = tmp_path_factory.mktemp("training")
    manifest, features = write_store(directory / "store", {"shard-1.tfrecord": PICTURES})
    write_backbone(directory / "store")
    keras.utils.set_random_seed(0)
    model = CaptionTransformer(SETTINGS)
    data = make_dataset(manifest, IDS, 64)
    history = fit(model, data, data, TrainingSettings(epochs=40, warmup=10), str(directory / "run"))
    return model, manifest, features, directory / "run", history


def test_it_learns(trained):
    model, _, features, _, history = trained
    assert history["loss"][-1] < 0.1 < history["loss"][0]
    said, _ = greedy(model, tf.constant([features[sha].astype("f") for sha in PICTURES.values()]))
    assert said.numpy()[:, :3].tolist() == [[4, 7, 3], [5, 7, 3], [6, 7, 3]]


def test_logs_and_the_best_checkpoint_are_kept(trained):
    run_dir = trained[3]
    assert list(run_dir.glob("logs/train/events*")) and list(run_dir.glob("logs/validation/events*"))
    assert (run_dir / "best.weights.h5").is_file()


def test_the_best_epoch_is_kept_not_the_last(tmp_path):
    manifest, _ = write_store(tmp_path / "store", {"shard-1.tfrecord": PICTURES})
    train = make_dataset(manifest, {name: IDS[name] for name in ("a.jpg", "b.jpg")}, 64)
    held_out = make_dataset(manifest, {"c.jpg": IDS["c.jpg"]}, 64)  # what train will never teach
    keras.utils.set_random_seed(0)
    model = CaptionTransformer(SETTINGS)
    history = fit(model, train, held_out, TrainingSettings(epochs=20, warmup=10), str(tmp_path / "run"))
    assert min(history["val_loss"]) < history["val_loss"][-1]
    measured = model.evaluate(held_out, return_dict=True, verbose=0)["loss"]
    assert measured == pytest.approx(min(history["val_loss"]), rel=1e-3)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    manifest, _ = write_store(tmp_path / "store", {"shard-1.tfrecord": PICTURES})
    data = make_dataset(manifest, IDS, 64)
    broken = data.map(lambda inputs, targets: ({**inputs, "features": inputs["features"] * math.nan}, targets))
    with pytest.raises(FloatingPointError, match=r"the loss became nan in epoch 1"):
        fit(CaptionTransformer(SETTINGS), broken, data, TrainingSettings(epochs=1), str(tmp_path / "run"))


def test_progress_is_told_with_the_time_that_is_left(caplog, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])
    caplog.set_level("INFO", "captions.progress")
    teller = training.TellProgress(epochs=2, steps=3)
    for epoch in range(2):
        teller.on_epoch_begin(epoch)
        for batch in range(3):
            now[0] += 100 if epoch == batch == 0 else 2  # the first step compiles
            teller.on_train_batch_end(batch, {"loss": 3.0, "masked_accuracy": 0.25})
    assert caplog.messages == [
        "epoch 1 of 2, loss 3.000, accuracy 0.250, 8 s left",
        "epoch 1 of 2, loss 3.000, accuracy 0.250, 6 s left",
        "epoch 2 of 2, loss 3.000, accuracy 0.250, 4 s left",
        "epoch 2 of 2, loss 3.000, accuracy 0.250, 2 s left",
        "epoch 2 of 2, loss 3.000, accuracy 0.250, 0 s left",
    ]


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    model, manifest, *_ = trained
    directory = tmp_path_factory.mktemp("model")
    vocabulary = directory / "vocabulary.txt"
    vocabulary.write_text("\n".join(WORDS) + "\n")
    captioner = export.Captioner(model, Backbone(manifest.directory), str(vocabulary))
    export.save(captioner, str(directory / "model"), manifest.fingerprint)
    vocabulary.unlink()  # the model has its own
    return directory / "model"


def test_the_saved_model_captions_features(trained, exported):
    features = trained[2]
    signature = tf.saved_model.load(str(exported)).signatures["from_features"]
    answer = signature(features=tf.constant([features[sha] for sha in PICTURES.values()]))
    assert answer["caption"].numpy().tolist() == [b"dog runs", b"cat runs", b"bird runs"]
    assert answer["score"].shape == (3,)
    assert (answer["score"].numpy() < 0).all() and (answer["score"].numpy() > -1).all()


def test_the_saved_model_captions_pictures_as_it_captions_their_features(trained, exported):
    model = tf.saved_model.load(str(exported))
    pictures = tf.constant([b"x" * 10, b"x" * 250, b"x" * 77])
    features = Backbone(trained[1].directory)(pictures)
    ours, theirs = model.signatures["serving_default"](pictures), model.signatures["from_features"](features)
    assert ours["caption"].numpy().tolist() == theirs["caption"].numpy().tolist()
    np.testing.assert_allclose(ours["score"], theirs["score"], atol=1e-4)


def test_the_vocabulary_is_an_asset_and_the_features_are_named(exported):
    assert [path.read_text().split() for path in (exported / "assets").iterdir()] == [WORDS]
    assert '"feature_fingerprint": "print"' in (exported / "assets.extra" / export.DESCRIPTION).read_text()
