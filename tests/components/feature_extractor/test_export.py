import keras
import numpy as np
import pytest
import tensorflow as tf

from components.feature_extractor.backbones.registry import source_of
from components.feature_extractor.export import export
from components.feature_extractor.settings import FeatureExtractorSettings
from components.shared import scenes

SIZE = 32
# the smallest member of each family; InceptionV3 is the default, and takes no image smaller than this
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


def small(name: str) -> FeatureExtractorSettings:
    return FeatureExtractorSettings(name, "random", FAMILIES.get(name, SIZE))


@pytest.mark.parametrize("name", FAMILIES)
def test_an_exported_backbone_is_the_model_behind_its_own_scaling(name, tmp_path):
    pixels = draw(FAMILIES[name])
    grid, channels = export(small(name), str(tmp_path / "model"))
    source = source_of(small(name))
    model, preprocess = source.build(small(name)), source.preprocess(small(name))
    expected = model(preprocess(pixels.copy()), training=False).numpy()
    assert expected.shape == (3, *grid, channels)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    features = loaded.from_pixels(pixels)
    assert (features.dtype, features.shape) == (tf.float16, (3, grid[0] * grid[1], channels))
    expected = expected.reshape(features.shape)
    # 1e-2 for float16 and another order of multiplication
    assert np.linalg.norm(features.numpy().astype(np.float32) - expected) <= 1e-2 * np.linalg.norm(expected)
    graph = loaded.from_pixels.concrete_functions[0].graph.as_graph_def()
    assert not graph.library.function  # as Keras leaves them to XLA


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("mobilenet") / "model")
    export(small("MobileNet"), directory)
    return tf.saved_model.load(directory)


def test_encoded_images_are_decoded_and_resized(mobilenet):
    encoded = [scenes.jpeg(1, index) for index in range(3)]
    decoded = [tf.io.decode_jpeg(image) for image in encoded]
    pixels = tf.stack([tf.image.resize(image, (SIZE, SIZE), antialias=True) for image in decoded])
    # float16; the graph of the one may be fused otherwise than the steps of the other
    np.testing.assert_allclose(
        mobilenet.features(tf.constant(encoded)), mobilenet.from_pixels(pixels), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("batch", [1, 2])
def test_a_feature_does_not_depend_on_the_batch(mobilenet, pixels, batch):
    whole = mobilenet.from_pixels(pixels).numpy()
    parts = [mobilenet.from_pixels(pixels[start : start + batch]) for start in range(0, len(pixels), batch)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-3, atol=1e-3)


def test_the_batch_norm_is_folded_into_the_kernels(mobilenet):
    graph = mobilenet.from_pixels.concrete_functions[0].graph
    kinds = [node.op for node in graph.as_graph_def().node]
    assert not {"FusedBatchNormV3", "Rsqrt"} & set(kinds)
    layers = source_of(small("MobileNet")).build(small("MobileNet")).layers
    num_norms = sum(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)
    assert kinds.count("Mul") < num_norms  # unfolded, each would be a multiplication


def test_weights_are_variables_and_not_part_of_the_graph(mobilenet, tmp_path):
    graph = mobilenet.from_pixels.concrete_functions[0].graph.as_graph_def()
    assert graph.ByteSize() < 500_000 < sum(4 * variable.shape.num_elements() for variable in mobilenet._weights)
