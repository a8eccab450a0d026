import io
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from components import images
from components.features import Backbone
from components.trainer import export
from components.trainer.decoding import DecodingSettings
from components.trainer.transformer import CaptionTransformer, TransformerSettings
from components.trainer.warm_start import make_weights
from tests.components.trainer.store import CHANNELS, GRID, write_backbone

WORDS = ["<pad>", "<unk>", "<start>", "<end>", "dog", "cat", "bird", "runs"]
SETTINGS = TransformerSettings(
    vocabulary_size=len(WORDS), grid=GRID, channels=CHANNELS, max_length=6, encoder_layers=1, decoder_layers=1,
    d_model=16, heads=2, feed_forward=32, dropout=0.0,
)  # fmt: skip


def picture(colour, form="PNG", size=(40, 30), mode="RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, form)
    return buffer.getvalue()


PICTURES = [
    picture((250, 0, 0)), picture((0, 250, 90), "JPEG"), picture((0, 0, 250), "BMP"), picture(7, "GIF", (9, 200), "P"),
    picture(128, "PNG", (8, 8), "L"), picture((9, 9, 200, 3), "PNG", mode="RGBA"),
    picture((0, 99, 0, 9), "JPEG", mode="CMYK"),
]  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model that says something else of other pictures: (its directory, its backbone)."""
    directory = tmp_path_factory.mktemp("export")
    (directory / "store").mkdir()
    write_backbone(directory / "store")
    vocabulary = directory / "vocabulary.txt"
    vocabulary.write_text("\n".join(WORDS) + "\n")
    keras.utils.set_random_seed(3)
    model = CaptionTransformer(SETTINGS)
    make_weights(model)
    model.set_weights([3 * weight for weight in model.get_weights()])
    backbone = Backbone(str(directory / "store"))
    export.save(
        export.Captioner(model, backbone, str(vocabulary), DecodingSettings()), str(directory / "model"), "print"
    )
    vocabulary.unlink()  # the model has its own
    return directory / "model", backbone


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported[0])).signatures


def features_of(backbone, pictures):
    return backbone.from_pixels(
        tf.stack([images.decode_and_resize(tf.constant(each), backbone.size) for each in pictures])
    )


def test_pictures_of_any_size_and_form_are_captioned_as_their_features(exported, signatures):
    ours = signatures["serving_default"](image_bytes=tf.constant(PICTURES))
    theirs = signatures["from_features"](features=features_of(exported[1], PICTURES))
    assert ours["ok"].numpy().all()
    assert ours["caption"].numpy().tolist() == theirs["caption"].numpy().tolist()
    np.testing.assert_allclose(ours["score"], theirs["score"], atol=1e-4)
    captions = set(ours["caption"].numpy().tolist())
    assert len(captions) > 1 and {word for said in captions for word in said.decode().split()} <= set(WORDS[4:])


BOMB = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (20_000).to_bytes(4, "big") * 2 + PICTURES[0][24:]
BROKEN = [
    b"",
    b"no picture",
    PICTURES[0][:-30],
    PICTURES[1][:200],
    b"\xff\xd8",
    BOMB,
    b"RIFF1234WEBPVP8 ",
    b"BM12",
    b"GIF89a",
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda each: repr(each[:10]))
def test_a_wrong_picture_fails_itself_alone(signatures, broken):
    good = signatures["serving_default"](image_bytes=tf.constant(PICTURES[:2]))
    mixed = signatures["serving_default"](image_bytes=tf.constant([PICTURES[0], broken, PICTURES[1]]))
    assert mixed["ok"].numpy().tolist() == [True, False, True]
    assert mixed["caption"].numpy()[[0, 2]].tolist() == good["caption"].numpy().tolist()
    assert (mixed["caption"].numpy()[1], float(mixed["score"][1])) == (b"", 0.0)


def test_nothing_but_wrong_pictures_and_no_picture_at_all(signatures):
    wrong = signatures["serving_default"](image_bytes=tf.constant([b"no", b""]))
    assert wrong["ok"].numpy().tolist() == [False, False] and wrong["caption"].numpy().tolist() == [b"", b""]
    none = signatures["serving_default"](image_bytes=tf.constant([], tf.string))
    assert [part.shape[0] for part in none.values()] == [0, 0, 0]


def test_more_pixels_than_the_bound_are_not_decoded(monkeypatch):
    # the bound is lowered, so that a small picture is too large
    monkeypatch.setattr(images, "MAX_PIXELS", 40 * 30 - 1)
    for which in (0, 1, 2):
        with pytest.raises(tf.errors.InvalidArgumentError):
            images.decode_within_bounds(tf.constant(PICTURES[which]), 32)
    monkeypatch.setattr(images, "MAX_PIXELS", 40 * 30)
    for which in (0, 1, 2):
        assert images.decode_within_bounds(tf.constant(PICTURES[which]), 32).shape == (32, 32, 3)


def test_every_word_has_a_map_of_where_the_model_looked(exported, signatures):
    features = features_of(exported[1], PICTURES)
    plain = signatures["from_features"](features=features)
    answer = signatures["attention_from_features"](features=features)
    assert answer["caption"].numpy().tolist() == plain["caption"].numpy().tolist()
    maps = answer["attention"].numpy()
    assert maps.shape == (len(PICTURES), SETTINGS.max_length - 1, *GRID)
    for caption, looked in zip(answer["caption"].numpy(), maps, strict=True):
        np.testing.assert_allclose(looked[: len(caption.split()) + 1].sum((1, 2)), 1, atol=1e-5)
    of_pictures = signatures["attention"](image_bytes=tf.constant([*PICTURES, b"wrong"]))
    np.testing.assert_allclose(of_pictures["attention"][:-1], maps, atol=1e-3)
    assert of_pictures["ok"].numpy().tolist() == [True] * len(PICTURES) + [False]


def test_it_loads_without_any_code_of_ours(exported, tmp_path):
    (tmp_path / "picture.png").write_bytes(PICTURES[0])
    code = f"""
import sys, tensorflow as tf
serve = tf.saved_model.load({str(exported[0])!r}).signatures["serving_default"]
answer = serve(image_bytes=tf.constant([tf.io.read_file("picture.png").numpy(), b"wrong"]))
assert not any(name.split(".")[0] in ("components", "pipeline") for name in sys.modules)
print(answer["ok"].numpy().tolist())
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "[True, False]", run.stderr


def test_requests_to_warm_it_up_lie_where_tensorflow_serving_looks(exported, signatures):
    sizes = []
    for record in tf.data.TFRecordDataset(str(exported[0] / "assets.extra" / export.WARM_UP)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        assert request.model_spec.signature_name == "serving_default"
        answer = signatures["serving_default"](image_bytes=tf.make_ndarray(request.inputs["image_bytes"]))
        assert answer["ok"].numpy().all()
        sizes.append(len(answer["ok"]))
    assert sizes == [1, 8]


def test_the_vocabulary_is_an_asset_and_the_model_is_described(exported):
    assert [path.read_text().split() for path in (exported[0] / "assets").iterdir()] == [WORDS]
    description = json.loads((exported[0] / "assets.extra" / export.DESCRIPTION).read_text())
    assert (description["feature_fingerprint"], description["model"]) == ("print", "CaptionTransformer")
    assert description["settings"]["d_model"] == 16
