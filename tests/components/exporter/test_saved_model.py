import io
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from components.exporter import saved_model
from components.shared.features import Backbone
from components.shared.images.decoding import decode_and_resize
from components.shared.models import decoding, description
from components.shared.models.decoding_settings import DecodingSettings
from components.shared.models.description import Description
from components.shared.words import Tokenization
from tests.components.exporter.factories import INPUTS, SETTINGS, WORDS, make_model, write_vocabulary
from tests.components.trainer.store import GRID, write_backbone

DESCRIPTION = Description("transformer_2", SETTINGS, INPUTS, "fingerprint")


def encoded_image(color, kind="PNG", size=(40, 30), mode="RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, color).save(buffer, kind)
    return buffer.getvalue()


IMAGES = [
    encoded_image((250, 0, 0)),
    encoded_image((0, 250, 90), "JPEG"),
    encoded_image((0, 0, 250), "BMP"),
    encoded_image(7, "GIF", (9, 200), "P"),
    encoded_image(128, "PNG", (8, 8), "L"),
    encoded_image((9, 9, 200, 3), "PNG", mode="RGBA"),
    encoded_image((0, 99, 0, 9), "JPEG", mode="CMYK"),
]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    directory = tmp_path_factory.mktemp("store")
    write_backbone(directory)
    return Backbone(str(directory))


@pytest.fixture(scope="module")
def exported(tmp_path_factory, backbone):
    """The directory of an exported model."""
    directory = tmp_path_factory.mktemp("export")
    vocabulary = write_vocabulary(directory / "transform_graph")
    captioner = saved_model.Captioner(make_model(), backbone, str(vocabulary), DecodingSettings(), Tokenization())
    saved_model.save(captioner, str(directory / "model"), DESCRIPTION)
    vocabulary.unlink()  # the SavedModel has a copy
    return directory / "model"


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(str(exported)).signatures


def features_of(backbone, images):
    return backbone.from_pixels(tf.stack([decode_and_resize(tf.constant(image), backbone.size) for image in images]))


def test_images_of_any_size_and_format_are_captioned_as_their_features(backbone, signatures):
    outputs = signatures["serving_default"](image_bytes=tf.constant(IMAGES))
    expected = signatures["from_features"](features=features_of(backbone, IMAGES))
    assert outputs["ok"].numpy().all()
    assert outputs["caption"].numpy().tolist() == expected["caption"].numpy().tolist()
    np.testing.assert_allclose(outputs["score"], expected["score"], atol=1e-4)
    captions = set(outputs["caption"].numpy().tolist())
    assert len(captions) > 1 and {word for caption in captions for word in caption.decode().split()} <= set(WORDS[4:])


BOMB = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (20_000).to_bytes(4, "big") * 2 + IMAGES[0][24:]
BROKEN = [
    b"",
    b"not an image",
    IMAGES[0][:-30],
    IMAGES[1][:200],
    b"\xff\xd8",
    BOMB,
    b"RIFF1234WEBPVP8 ",
    encoded_image((250, 0, 0), "WEBP"),
    b"BM12",
    b"GIF89a",
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda content: repr(content[:10]))
def test_a_broken_image_fails_only_itself(signatures, broken):
    good = signatures["serving_default"](image_bytes=tf.constant(IMAGES[:2]))
    mixed = signatures["serving_default"](image_bytes=tf.constant([IMAGES[0], broken, IMAGES[1]]))
    assert mixed["ok"].numpy().tolist() == [True, False, True]
    assert mixed["caption"].numpy()[[0, 2]].tolist() == good["caption"].numpy().tolist()
    assert (mixed["caption"].numpy()[1], float(mixed["score"][1])) == (b"", 0.0)


def test_only_broken_images_and_no_images(signatures):
    broken = signatures["serving_default"](image_bytes=tf.constant([b"no", b""]))
    assert broken["ok"].numpy().tolist() == [False, False] and broken["caption"].numpy().tolist() == [b"", b""]
    for name, num_outputs in (("serving_default", 3), ("attention", 5)):
        empty = signatures[name](image_bytes=tf.constant([], tf.string))
        assert [output.shape[0] for output in empty.values()] == [0] * num_outputs


def test_features_that_are_not_finite_cost_their_own_caption_alone(backbone, signatures):
    features = features_of(backbone, IMAGES).numpy()
    expected = signatures["attention_from_features"](features=tf.constant(features))
    features[1, 0, 0] = np.nan
    outputs = signatures["attention_from_features"](features=tf.constant(features))
    others = [0, *range(2, len(IMAGES))]
    assert outputs["caption"].numpy()[others].tolist() == expected["caption"].numpy()[others].tolist()
    # the search takes as many steps as the longest caption: another shape, in which a processor may round otherwise
    np.testing.assert_allclose(outputs["attention"].numpy()[others], expected["attention"].numpy()[others], atol=1e-5)
    assert (outputs["caption"].numpy()[1], float(outputs["score"][1])) == (b"", decoding.NEG_INF)
    assert not outputs["attention"].numpy()[1].any()


def test_an_image_whose_features_are_not_finite_is_not_ok(signatures):
    # the test's backbone computes NaN where an image is white
    white = encoded_image((255, 255, 255))
    good = signatures["serving_default"](image_bytes=tf.constant(IMAGES[:2]))
    outputs = signatures["attention"](image_bytes=tf.constant([IMAGES[0], white, IMAGES[1]]))
    assert outputs["ok"].numpy().tolist() == [True, False, True]
    assert (outputs["caption"].numpy()[1], float(outputs["score"][1])) == (b"", 0.0)
    assert not outputs["attention"].numpy()[1].any()
    assert outputs["caption"].numpy()[[0, 2]].tolist() == good["caption"].numpy().tolist()


def test_every_word_has_attention_weights_over_the_feature_map(backbone, signatures):
    features = features_of(backbone, IMAGES)
    without = signatures["from_features"](features=features)
    outputs = signatures["attention_from_features"](features=features)
    assert outputs["caption"].numpy().tolist() == without["caption"].numpy().tolist()
    attention = outputs["attention"].numpy()
    assert attention.shape == (len(IMAGES), INPUTS.max_length - 1, *GRID)
    for caption, weights in zip(outputs["caption"].numpy(), attention, strict=True):
        num_words = len(caption.split())
        sums = [1] * num_words + [0] * (len(weights) - num_words)
        np.testing.assert_allclose(weights.sum((1, 2)), sums, atol=1e-5)
    joined = [b" ".join(filter(None, row)) for row in outputs["words"].numpy()]
    assert joined == outputs["caption"].numpy().tolist()
    from_images = signatures["attention"](image_bytes=tf.constant([*IMAGES, b"broken"]))
    assert not any(from_images["words"].numpy()[-1])
    np.testing.assert_allclose(from_images["attention"][:-1], attention, atol=1e-3)
    assert not from_images["attention"].numpy()[-1].any()
    assert from_images["ok"].numpy().tolist() == [True] * len(IMAGES) + [False]


def test_it_loads_without_any_code_of_ours(exported, tmp_path):
    (tmp_path / "image.png").write_bytes(IMAGES[0])
    code = f"""
import sys, tensorflow as tf
serve = tf.saved_model.load({str(exported)!r}).signatures["serving_default"]
outputs = serve(image_bytes=tf.constant([tf.io.read_file("image.png").numpy(), b"broken"]))
assert not any(name.split(".")[0] in ("components", "pipeline") for name in sys.modules)
print(outputs["ok"].numpy().tolist())
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "[True, False]", run.stderr


def test_warm_up_requests_are_where_tensorflow_serving_looks(exported, signatures):
    sizes = []
    for record in tf.data.TFRecordDataset(str(exported / "assets.extra" / "tf_serving_warmup_requests")):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        assert request.model_spec.signature_name == "serving_default"
        outputs = signatures["serving_default"](image_bytes=tf.make_ndarray(request.inputs["image_bytes"]))
        assert outputs["ok"].numpy().all()
        sizes.append(len(outputs["ok"]))
    assert sizes == [1, 8]


def test_the_vocabulary_is_an_asset(exported):
    assert [path.read_text().split() for path in (exported / "assets").iterdir()] == [WORDS]


def test_the_model_is_described(exported):
    assert description.read_exported(str(exported)) == DESCRIPTION
    values = json.loads((exported / "assets.extra" / "captioner.json").read_text())
    assert (values["label"], values["feature_fingerprint"]) == ("transformer_2", "fingerprint")
    assert (values["settings"]["name"], values["settings"]["d_model"]) == ("transformer", 16)
    assert (values["inputs"]["grid"], values["inputs"]["max_length"]) == ([*GRID], 6)
    assert values["decoding"] == {"beam_size": 3, "length_penalty": 0.6, "min_length": 1, "max_length": 0}
