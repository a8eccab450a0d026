import json
import pathlib
import shutil
import sys

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from components.feature_extractor.backbones.registry import source_of
from components.feature_extractor.identity import fingerprint
from components.feature_extractor.settings import FeatureExtractorSettings as Settings
from components.feature_extractor.store import FeatureStore
from components.shared import scenes, storage
from components.shared.features import Backbone

SCALE, OFFSET = [0.01, 0.02, 0.03], [-1.0, -2.0, -0.5]


def save(model: keras.Model, directory: pathlib.Path, image_size: int = 32) -> Settings:
    """Saves a tiny preset with random weights; the converter's class belongs to the model's."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.normal(0.0, 0.3, variable.shape))
    model.save_to_preset(str(directory))
    converter = getattr(keras_hub.layers, type(model).__name__.replace("Backbone", "ImageConverter"))
    converter(image_size=(image_size, image_size), scale=SCALE, offset=OFFSET).save_to_preset(str(directory))
    return Settings(type(model).__name__, str(directory))


def vit(**options) -> keras.Model:
    return keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8, **options
    )


def clip() -> keras.Model:
    vision = keras_hub.models.CLIPVisionEncoder(
        patch_size=8, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=8, image_shape=(32, 32, 3)
    )
    text = keras_hub.models.CLIPTextEncoder(
        vocabulary_size=9,
        embedding_dim=8,
        hidden_dim=8,
        num_layers=1,
        num_heads=1,
        intermediate_dim=8,
        max_sequence_length=5,
    )
    return keras_hub.models.CLIPBackbone(vision, text, projection_dim=8)


def resnet() -> keras.Model:
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
    )


def converted(pixels: np.ndarray) -> np.ndarray:
    return pixels * np.float32(SCALE) + np.float32(OFFSET)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.stack([np.asarray(scenes.draw(1, index).resize((32, 32)), np.float32) for index in range(2)])


def features_of(settings: Settings, pixels: np.ndarray, directory: pathlib.Path) -> tuple[tuple, np.ndarray]:
    """Exports a preset as the extractor does, and runs it."""
    store = FeatureStore(str(directory / fingerprint(settings)))
    shape = store.prepare_backbone(settings)
    return shape, Backbone(store.directory).from_pixels(pixels).numpy().astype(np.float32)


@pytest.mark.parametrize("use_class_token", [True, False])
def test_patch_tokens_of_a_vit_become_a_map_without_the_class_token(pixels, tmp_path, use_class_token):
    model = vit(use_class_token=use_class_token)
    shape, features = features_of(save(model, tmp_path / "preset"), pixels, tmp_path)
    tokens = model(converted(pixels), training=False).numpy()
    assert tokens.shape == (2, 17 if use_class_token else 16, 8)
    assert shape == ((4, 4), 8)
    np.testing.assert_allclose(features, tokens[:, -16:], rtol=5e-3, atol=5e-3)


def test_the_image_encoder_of_clip_is_used(pixels, tmp_path):
    model = clip()
    shape, features = features_of(save(model, tmp_path / "preset"), pixels, tmp_path)
    tokens = model.vision_encoder({"images": converted(pixels)}, training=False).numpy()
    assert shape == ((4, 4), 8)
    np.testing.assert_allclose(features, tokens[:, 1:], rtol=5e-3, atol=5e-3)


def test_a_convolutional_preset_takes_the_image_size_of_the_settings(tmp_path):
    model = resnet()
    settings = save(model, tmp_path / "preset", image_size=48)
    assert source_of(settings).input_size(settings) == 48
    small = Settings(settings.backbone, settings.weights, 32)
    expected = model(tf.zeros((1, 32, 32, 3))).shape
    assert source_of(small).build(small).output_shape == (None, *expected[1:])


@pytest.fixture(scope="module")
def saved_preset(tmp_path_factory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("presets") / "vit"
    save(vit(), directory)
    return directory


@pytest.fixture(scope="module")
def saved_clip(tmp_path_factory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("presets") / "clip"
    save(clip(), directory)
    return directory


@pytest.fixture
def preset(saved_preset, tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(saved_preset, tmp_path / "vit"))


def test_a_preset_in_a_bucket_is_the_same(preset, bucket):
    storage.copy_tree(str(preset), f"{bucket}/vit")
    settings, in_bucket = (Settings("ViTBackbone", place) for place in (str(preset), f"{bucket}/vit"))
    assert fingerprint(in_bucket) == fingerprint(settings)
    for ours, theirs in zip(
        source_of(in_bucket).build(in_bucket).get_weights(),
        source_of(settings).build(settings).get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match=f"feature_extractor.backbone: {bucket}/vit holds a ViTBackbone, not a CLIP"):
        fingerprint(Settings("CLIPBackbone", f"{bucket}/vit"))


def edit(path: pathlib.Path, **changes) -> None:
    content = json.loads(path.read_text())
    content["config"].update(changes)
    path.write_text(json.dumps(content))


def test_the_identity_is_that_of_config_scaling_and_weights(preset):
    settings = Settings("ViTBackbone", str(preset))
    names = [fingerprint(settings)]
    moved = preset.rename(preset.with_name("moved"))
    (moved / "metadata.json").write_text("{}")  # with the date, which determines no feature
    settings = Settings("ViTBackbone", str(moved))
    assert fingerprint(settings) == names[0]
    edit(moved / "image_converter.json", offset=None)
    names.append(fingerprint(settings))
    edit(moved / "config.json", layer_norm_epsilon=1e-5)
    names.append(fingerprint(settings))
    with (moved / "model.weights.h5").open("ab") as file:
        file.write(b"1")
    names.append(fingerprint(settings))
    assert len(set(names)) == 4


def test_another_backbone_than_the_presets_is_refused(preset):
    with pytest.raises(ValueError, match=r"holds a ViTBackbone, not a InceptionV3; set .*backbone to ViTBackbone"):
        fingerprint(Settings("InceptionV3", str(preset)))


def test_another_image_size_than_the_presets_is_refused(preset):
    with pytest.raises(ValueError, match=r"feature_extractor.image_size: 64, but the preset takes 32 pixels"):
        fingerprint(Settings("ViTBackbone", str(preset), 64))
    edit(preset / "config.json", image_shape=[32, 48, 3])
    with pytest.raises(ValueError, match="48x32 pixels; only square ones are supported"):
        fingerprint(Settings("ViTBackbone", str(preset)))


def test_a_preset_without_an_image_converter_is_refused(preset):
    (preset / "image_converter.json").unlink()
    with pytest.raises(ValueError, match=r"has no image_converter\.json"):
        fingerprint(Settings("ViTBackbone", str(preset)))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model_type": "vit"}', '{"registered_name": "x", "config": {}}'])
def test_a_config_of_another_kind_is_refused(preset, content):
    (preset / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json is not that of a KerasHub preset"):
        fingerprint(Settings("ViTBackbone", str(preset)))


TOUCH = {"args": ["touch", "owned"]}


@pytest.mark.parametrize("name", ["vision_encoder", "text_encoder"])
@pytest.mark.parametrize(
    "payload",
    [
        {"class_name": "__lambda__", "config": {"value": "cG93bmVk"}},
        {"class_name": "function", "config": "system", "module": "os", "registered_name": "system"},
        {"class_name": "Popen", "config": TOUCH, "module": "subprocess", "registered_name": "Popen"},
        {"class_name": "Popen", "config": TOUCH, "module": "subprocess", "registered_name": "keras_hub>Popen"},
    ],
)
def test_a_preset_runs_no_code(saved_clip, tmp_path, monkeypatch, name, payload):
    preset = pathlib.Path(shutil.copytree(saved_clip, tmp_path / "clip"))
    monkeypatch.chdir(preset)
    edit(preset / "config.json", **{name: payload})
    settings = Settings("CLIPBackbone", str(preset))
    with pytest.raises(ValueError, match=r"feature_extractor\.weights: .* (can't be loaded: |is not that of)"):
        source_of(settings).build(settings)
    assert not (preset / "owned").exists()


def test_a_damaged_weights_file_is_refused(preset):
    (preset / "model.weights.h5").write_bytes(b"not HDF5")
    settings = Settings("ViTBackbone", str(preset))
    with pytest.raises(ValueError, match=r"feature_extractor\.weights: .* can't be loaded: "):
        source_of(settings).build(settings)


def test_without_keras_hub_the_error_names_the_extra(preset, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    settings = Settings("ViTBackbone", str(preset))
    assert len(fingerprint(settings)) == 32
    with pytest.raises(ValueError, match=r"needs the extra keras-hub: pip install 'caption-pipeline\[keras-hub\]'"):
        source_of(settings).build(settings)
