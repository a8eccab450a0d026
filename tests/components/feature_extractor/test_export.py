import keras
import numpy as np
import pytest
import tensorflow as tf

from components import scenes
from components.feature_extractor import backbones
from components.feature_extractor.backbones import BackboneSettings
from components.feature_extractor.export import export

SIZE = 32
# a family each: its smallest member; InceptionV3 is the default, and takes no picture smaller than this
FAMILIES = {
    "MobileNetV3Small": SIZE,
    "EfficientNetV2B0": SIZE,
    "ResNet50V2": SIZE,
    "ConvNeXtTiny": SIZE,
    "InceptionV3": 75,
}


def draw(size: int) -> np.ndarray:
    return np.stack([np.asarray(scenes.draw(1, index).resize((size, size)), np.float32) for index in range(3)])


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return draw(SIZE)


def small(name: str) -> BackboneSettings:
    return BackboneSettings(name, "random", FAMILIES.get(name, SIZE))


@pytest.mark.parametrize("name", FAMILIES)
def test_an_exported_backbone_is_the_model_behind_its_own_scaling(name, tmp_path):
    pixels = draw(FAMILIES[name])
    grid, channels = export(small(name), str(tmp_path / "model"))
    model = backbones.build(small(name))
    expected = model(backbones.preprocessing(name)(pixels.copy()), training=False).numpy()
    assert expected.shape == (3, *grid, channels)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    features = loaded.from_pixels(pixels)
    assert (features.dtype, features.shape) == (tf.float16, (3, grid[0] * grid[1], channels))
    expected = expected.reshape(features.shape)
    # 1e-2: what float16 and another order of multiplication may differ by
    assert np.linalg.norm(features.numpy().astype(np.float32) - expected) <= 1e-2 * np.linalg.norm(expected)
    graph = loaded.from_pixels.concrete_functions[0].graph.as_graph_def()
    assert not graph.library.function  # such as Keras leaves to XLA


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("mobilenet") / "model")
    export(small("MobileNet"), directory)
    return tf.saved_model.load(directory)


def test_encoded_pictures_are_decoded_and_resized(mobilenet):
    pictures = [scenes.jpeg(1, index) for index in range(3)]
    decoded = [tf.io.decode_jpeg(picture) for picture in pictures]
    pixels = tf.stack([tf.image.resize(picture, (SIZE, SIZE), antialias=True) for picture in decoded])
    np.testing.assert_array_equal(mobilenet.features(tf.constant(pictures)), mobilenet.from_pixels(pixels))


@pytest.mark.parametrize("batch", [1, 2])
def test_a_feature_does_not_depend_on_the_batch(mobilenet, pixels, batch):
    whole = mobilenet.from_pixels(pixels).numpy()
    parts = [mobilenet.from_pixels(pixels[start : start + batch]) for start in range(0, len(pixels), batch)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-3, atol=1e-3)


def test_the_batch_norm_is_folded_into_the_kernels(mobilenet):
    graph = mobilenet.from_pixels.concrete_functions[0].graph
    kinds = [node.op for node in graph.as_graph_def().node]
    assert not {"FusedBatchNormV3", "Rsqrt"} & set(kinds)
    norms = sum(
        isinstance(layer, keras.layers.BatchNormalization) for layer in backbones.build(small("MobileNet")).layers
    )
    assert kinds.count("Mul") < norms  # not folded, each would be a multiplication


def test_weights_are_variables_and_not_part_of_the_graph(mobilenet, tmp_path):
    graph = mobilenet.from_pixels.concrete_functions[0].graph.as_graph_def()
    assert graph.ByteSize() < 500_000 < sum(4 * variable.shape.num_elements() for variable in mobilenet._weights)
