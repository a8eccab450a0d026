import pathlib

import h5py
import keras
import numpy as np
import pytest

from components import scenes
from components.feature_extractor import backbones
from components.feature_extractor.backbones import BackboneSettings

TINY = BackboneSettings("MobileNet", "random", 32)


@pytest.fixture(scope="module")
def tiny() -> keras.Model:
    return backbones.build(TINY)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("weights") / "narrow.weights.h5"
    keras.applications.MobileNet(alpha=0.25, include_top=False, weights=None, input_shape=(32, 32, 3)).save_weights(
        path
    )
    return str(path)


def test_every_backbone_has_its_own_input_size():
    assert BackboneSettings("InceptionV3", "random").size == 299
    assert BackboneSettings("MobileNet", "random").size == 224
    assert TINY.size == 32


def test_random_weights_are_the_same_each_time(tiny):
    for ours, again in zip(tiny.get_weights(), backbones.build(TINY).get_weights(), strict=True):
        np.testing.assert_array_equal(ours, again)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.stack([np.asarray(scenes.draw(1, index).resize((32, 32)), np.float32) for index in range(8)])


def test_random_weights_tell_pictures_apart(tiny, pixels):
    features = tiny(keras.applications.mobilenet.preprocess_input(pixels.copy())).numpy()
    assert features.std() > 0.1
    assert features.std(axis=0).mean() > 0.1


def test_random_weights_without_batch_norm_tell_pictures_apart_by_every_block(pixels):
    model = backbones.build(BackboneSettings("ConvNeXtTiny", "random", 32))
    features = model(pixels, training=False).numpy()
    assert features.std(axis=0).mean() > 0.1
    for layer in model.layers:
        if "depthwise" in layer.name:
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    assert np.abs(model(pixels, training=False).numpy() - features).mean() > 0.1


def test_weights_from_a_file_find_the_width_that_they_fit(weights_file):
    model = backbones.build(BackboneSettings("MobileNet", weights_file, 32))
    assert model.output_shape == (None, 1, 1, 256)
    expected = keras.applications.MobileNet(alpha=0.25, include_top=False, weights=None, input_shape=(32, 32, 3))
    expected.load_weights(weights_file)
    for ours, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_weights_file_that_does_not_fit_names_the_setting_the_backbone_and_the_layer(weights_file):
    with pytest.raises(ValueError, match=r"feature_extractor.weights: .* does not fit MobileNetV2") as fault:
        backbones.build(BackboneSettings("MobileNetV2", weights_file, 32))
    assert "Conv2D name=Conv1" in str(fault.value)
    assert len(str(fault.value)) < 600


def save_as_keras_2(layers: list[keras.Layer], path: pathlib.Path) -> None:
    """As Keras 2 saved weights, and as `keras.applications` downloads them still."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = [weight.path.encode() for weight in layer.weights]
            for weight in layer.weights:
                group[weight.path] = weight.numpy()


@pytest.fixture(scope="module")
def legacy_weights(tmp_path_factory) -> tuple[keras.Model, str]:
    """A MobileNet of a quarter's width, and the file of its weights."""
    model = keras.applications.MobileNet(alpha=0.25, include_top=False, weights=None, input_shape=(32, 32, 3))
    path = tmp_path_factory.mktemp("weights") / "narrow.h5"
    save_as_keras_2(model.layers, path)
    return model, str(path)


def test_weights_of_keras_2_are_read(legacy_weights):
    expected, path = legacy_weights
    model = backbones.build(BackboneSettings("MobileNet", path, 32))
    for ours, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("backbone", "misfit"),
    [
        ("MobileNetV2", "where the backbone has Conv1 3x3x3x32, the file has conv1 3x3x3x8$"),
        ("VGG16", "where the backbone has block1_conv1 3x3x3x64, 64, the file has conv1 3x3x3x8$"),
    ],
)
def test_weights_of_keras_2_that_do_not_fit_name_the_layer(legacy_weights, backbone, misfit):
    with pytest.raises(ValueError, match=f"does not fit {backbone}: .*{misfit}"):
        backbones.build(BackboneSettings(backbone, legacy_weights[1], 32))


def test_weights_of_keras_2_that_end_early_name_the_layer_that_they_lack(tiny, tmp_path):
    save_as_keras_2(tiny.layers[:-3], tmp_path / "short.h5")
    with pytest.raises(ValueError, match=r"has conv_pw_13 1x1x1024x1024, the file has no more layer"):
        backbones.build(BackboneSettings("MobileNet", str(tmp_path / "short.h5"), 32))


def test_weights_of_keras_2_without_those_of_a_layer_do_not_fit(tiny, tmp_path):
    path = tmp_path / "broken.h5"
    save_as_keras_2(tiny.layers, path)
    with h5py.File(path, "a") as file:
        del file["conv_pw_1"]
    with pytest.raises(ValueError, match=r"has conv_pw_1 1x1x32x64, the file has conv_pw_1_bn 64, 64, 64, 64"):
        backbones.build(BackboneSettings("MobileNet", str(path), 32))


def test_a_file_of_something_else_does_not_fit(tmp_path):
    (tmp_path / "text.weights.h5").write_text("not HDF5")
    with pytest.raises(ValueError, match=r"text.weights.h5 does not fit MobileNet: .*file signature not found"):
        backbones.build(BackboneSettings("MobileNet", str(tmp_path / "text.weights.h5"), 32))


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("half.keras", keras.Model.save),
        ("half.weights.h5", keras.Model.save_weights),
        ("half.h5", lambda model, path: save_as_keras_2(model.layers, path)),
    ],
)
def test_half_a_weights_file_names_the_setting_and_the_file(tiny, tmp_path, name, save):
    path = tmp_path / name
    save(tiny, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"feature_extractor.weights: \S+{name} does not fit MobileNet: .*\w"):
        backbones.build(BackboneSettings("MobileNet", str(path), 32))


def test_weights_of_keras_3_under_a_name_of_keras_2_are_told_their_name(weights_file, tmp_path):
    path = tmp_path / "narrow.h5"
    path.write_bytes(pathlib.Path(weights_file).read_bytes())
    with pytest.raises(ValueError, match=r"narrow.h5 does not fit MobileNet: .*its name has to end in .weights.h5"):
        backbones.build(BackboneSettings("MobileNet", str(path), 32))


def test_imagenet_weights_that_can_not_be_had_name_the_ways_out(monkeypatch):
    # stands for Keras without internet; the message is Keras's own
    def offline(**_):
        raise Exception("URL fetch failure on https://example.org/a/mobilenet_1_0_224_tf_no_top.h5: None -- no route")

    monkeypatch.setattr(backbones, "_constructor", lambda name: offline)
    with pytest.raises(ValueError) as error:
        backbones.build(BackboneSettings("MobileNet", "imagenet"))
    assert "put the file mobilenet_1_0_224_tf_no_top.h5 at" in str(error.value)
    assert "set feature_extractor.weights to random" in str(error.value)


def test_an_unknown_backbone_is_told_what_there_is():
    with pytest.raises(ValueError, match=r"feature_extractor.backbone: .* no InceptionV9; it has .*InceptionV3"):
        backbones.build(BackboneSettings("InceptionV9", "random"))


def test_the_fingerprint_names_all_that_changes_a_feature(weights_file, monkeypatch):
    def prints():
        return [
            backbones.fingerprint(TINY),
            backbones.fingerprint(BackboneSettings("MobileNet", "random", 64)),
            backbones.fingerprint(BackboneSettings("MobileNetV2", "random", 32)),
            backbones.fingerprint(BackboneSettings("MobileNet", "imagenet", 32)),
            backbones.fingerprint(BackboneSettings("MobileNet", weights_file, 32)),
        ]

    before = prints()
    assert len(set(before)) == len(before)
    assert prints() == before
    with open(weights_file, "ab") as file:
        file.write(b"1")
    assert prints()[:4] == before[:4]
    assert prints()[4] != before[4]
    monkeypatch.setattr(backbones, "source_hash", lambda *modules: "other code")
    assert not set(prints()) & set(before)


def test_the_fingerprint_covers_the_code_that_writes_a_feature(monkeypatch):
    hashed = set()
    monkeypatch.setattr(backbones, "source_hash", lambda *modules: hashed.update(modules) or "code")
    backbones.fingerprint(BackboneSettings("MobileNet", "imagenet"))
    places = ("feature_extractor.backbones", "feature_extractor.export", "features", "images")
    assert hashed == {f"components.{place}" for place in places}


def test_a_weights_file_that_is_not_there_is_refused():
    with pytest.raises(FileNotFoundError, match=r"feature_extractor.weights: /gone.h5 is no file"):
        backbones.fingerprint(BackboneSettings("MobileNet", "/gone.h5"))
