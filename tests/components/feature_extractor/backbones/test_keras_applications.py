import pathlib
import socket

import h5py
import keras
import numpy as np
import pytest

from components.feature_extractor.backbones.registry import source_of
from components.feature_extractor.identity import fingerprint
from components.feature_extractor.settings import FeatureExtractorSettings as Settings
from components.shared import scenes, storage

TINY = Settings("MobileNet", "random", 32)


def build(settings: Settings) -> keras.Model:
    return source_of(settings).build(settings)


@pytest.fixture(scope="module")
def tiny() -> keras.Model:
    return build(TINY)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("weights") / "narrow.weights.h5"
    keras.applications.MobileNet(alpha=0.25, include_top=False, weights=None, input_shape=(32, 32, 3)).save_weights(
        path
    )
    return str(path)


@pytest.mark.parametrize(
    ("settings", "size"), [(Settings("InceptionV3", "random"), 299), (Settings("MobileNet", "random"), 224), (TINY, 32)]
)
def test_every_backbone_has_its_own_input_size(settings, size):
    assert source_of(settings).input_size(settings) == size


def test_random_weights_are_the_same_each_time(tiny):
    for ours, again in zip(tiny.get_weights(), build(TINY).get_weights(), strict=True):
        np.testing.assert_array_equal(ours, again)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.stack([np.asarray(scenes.draw(1, index).resize((32, 32)), np.float32) for index in range(8)])


def test_random_weights_tell_images_apart(tiny, pixels):
    features = tiny(keras.applications.mobilenet.preprocess_input(pixels.copy())).numpy()
    assert features.std() > 0.1
    assert features.std(axis=0).mean() > 0.1


def test_every_block_of_random_weights_without_batch_norm_matters(pixels):
    model = build(Settings("ConvNeXtTiny", "random", 32))
    features = model(pixels, training=False).numpy()
    assert features.std(axis=0).mean() > 0.1
    for layer in model.layers:
        if "depthwise" in layer.name:
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    assert np.abs(model(pixels, training=False).numpy() - features).mean() > 0.1


def test_the_width_of_a_weights_file_is_found(weights_file):
    model = build(Settings("MobileNet", weights_file, 32))
    assert model.output_shape == (None, 1, 1, 256)
    expected = keras.applications.MobileNet(alpha=0.25, include_top=False, weights=None, input_shape=(32, 32, 3))
    expected.load_weights(weights_file)
    for ours, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_weights_file_that_does_not_fit_is_an_error_that_names_the_layer(weights_file):
    with pytest.raises(ValueError, match=r"feature_extractor.weights: .* does not fit MobileNetV2") as fault:
        build(Settings("MobileNetV2", weights_file, 32))
    assert "Conv2D name=Conv1" in str(fault.value)
    assert len(str(fault.value)) < 600


def save_as_keras_2(layers: list[keras.Layer], path: pathlib.Path) -> None:
    """Saves weights as Keras 2 did, and as `keras.applications` still downloads them."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = [weight.path.encode() for weight in layer.weights]
            for weight in layer.weights:
                group[weight.path] = weight.numpy()


@pytest.fixture(scope="module")
def legacy_weights(tmp_path_factory) -> tuple[keras.Model, str]:
    """A MobileNet of quarter width, and the file of its weights."""
    model = keras.applications.MobileNet(alpha=0.25, include_top=False, weights=None, input_shape=(32, 32, 3))
    path = tmp_path_factory.mktemp("weights") / "narrow.h5"
    save_as_keras_2(model.layers, path)
    return model, str(path)


def test_weights_of_keras_2_are_read(legacy_weights):
    expected, path = legacy_weights
    model = build(Settings("MobileNet", path, 32))
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
        build(Settings(backbone, legacy_weights[1], 32))


def test_weights_of_keras_2_that_end_early_name_the_missing_layer(tiny, tmp_path):
    save_as_keras_2(tiny.layers[:-3], tmp_path / "short.h5")
    with pytest.raises(ValueError, match=r"has conv_pw_13 1x1x1024x1024, the file has no more layers"):
        build(Settings("MobileNet", str(tmp_path / "short.h5"), 32))


def test_weights_of_keras_2_without_those_of_a_layer_do_not_fit(tiny, tmp_path):
    path = tmp_path / "broken.h5"
    save_as_keras_2(tiny.layers, path)
    with h5py.File(path, "a") as file:
        del file["conv_pw_1"]
    with pytest.raises(ValueError, match=r"has conv_pw_1 1x1x32x64, the file has conv_pw_1_bn 64, 64, 64, 64"):
        build(Settings("MobileNet", str(path), 32))


def test_another_kind_of_file_does_not_fit(tmp_path):
    (tmp_path / "text.weights.h5").write_text("not HDF5")
    with pytest.raises(ValueError, match=r"text.weights.h5 does not fit MobileNet: .*file signature not found"):
        build(Settings("MobileNet", str(tmp_path / "text.weights.h5"), 32))


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
        build(Settings("MobileNet", str(path), 32))


def test_the_error_about_a_misnamed_file_of_keras_3_has_the_right_name(weights_file, tmp_path):
    path = tmp_path / "narrow.h5"
    path.write_bytes(pathlib.Path(weights_file).read_bytes())
    with pytest.raises(ValueError, match=r"narrow.h5 does not fit MobileNet: .*must be named \*.weights.h5"):
        build(Settings("MobileNet", str(path), 32))


def test_without_internet_the_error_names_the_alternatives(monkeypatch):
    def offline(**_):  # with Keras's own message
        raise Exception("URL fetch failure on https://example.org/a/mobilenet_1_0_224_tf_no_top.h5: None -- no route")

    monkeypatch.setattr(keras.applications, "MobileNet", offline)
    with pytest.raises(ValueError) as error:
        build(Settings("MobileNet", "imagenet"))
    assert "put the file mobilenet_1_0_224_tf_no_top.h5 at" in str(error.value)
    assert "set feature_extractor.weights to random" in str(error.value)


def test_a_host_that_is_silent_is_not_waited_for(monkeypatch):
    def silent(**_):
        raise TimeoutError(f"timed out after {socket.getdefaulttimeout()} s")

    monkeypatch.setattr(keras.applications, "MobileNet", silent)
    with pytest.raises(ValueError, match=r"ImageNet weights of MobileNet can't be downloaded: timed out after 10.0 s"):
        build(Settings("MobileNet", "imagenet"))
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize("path", ["/missing.h5", "/tmp"])
def test_a_path_that_is_no_weights_file_is_an_error(path):
    settings = Settings("MobileNet", path)
    with pytest.raises(FileNotFoundError, match=f"feature_extractor.weights: {path} is neither a weights file nor"):
        source_of(settings).weights_identity(settings)


def test_a_weights_file_is_identified_by_its_content(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"1")
    settings = Settings("MobileNet", str(path))
    identity = source_of(settings).weights_identity(settings)
    renamed = Settings("MobileNet", str(path.rename(tmp_path / "b.h5")))
    assert source_of(renamed).weights_identity(renamed) == identity
    path.write_bytes(b"2")
    assert source_of(settings).weights_identity(settings) != identity
    assert len({source_of(TINY).weights_identity(Settings("MobileNet", each)) for each in ("imagenet", "random")}) == 2


def test_a_weights_file_in_a_bucket_is_the_same(weights_file, bucket):
    uri = f"{bucket}/weights/{pathlib.Path(weights_file).name}"
    storage.copy(weights_file, uri)
    settings, in_bucket = (Settings("MobileNet", place, 32) for place in (weights_file, uri))
    assert fingerprint(in_bucket) == fingerprint(settings)
    for ours, theirs in zip(build(in_bucket).get_weights(), build(settings).get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    storage.write_text(uri, "damaged")
    assert fingerprint(in_bucket) != fingerprint(settings)
    with pytest.raises(ValueError, match=f"feature_extractor.weights: {uri} does not fit MobileNet"):
        build(in_bucket)
    with pytest.raises(FileNotFoundError, match=f"feature_extractor.weights: {bucket}/none is neither a weights file"):
        fingerprint(Settings("MobileNet", f"{bucket}/none", 32))
