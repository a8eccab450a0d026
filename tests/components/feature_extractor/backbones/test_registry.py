import keras
import numpy as np
import pytest

from components.feature_extractor.backbones import registry
from components.feature_extractor.identity import fingerprint
from components.feature_extractor.settings import FeatureExtractorSettings
from components.feature_extractor.store import FeatureStore
from components.shared.features import Backbone


class AverageColors:
    """A toy source: the average color per quarter of the image, as the recipe in docs/extending.md."""

    name = "toy"
    choices = "AverageColors"

    def matches(self, settings):
        return settings.backbone == "AverageColors"

    def input_size(self, settings):
        return settings.image_size or 16

    def weights_identity(self, settings):
        return "none"

    def build(self, settings):
        size = self.input_size(settings)
        pixels = keras.Input((size, size, 3))
        return keras.Model(pixels, keras.layers.AveragePooling2D(size // 2)(pixels))

    def preprocess(self, settings):
        return lambda pixels: pixels / 255.0


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(registry, "SOURCES", [*registry.SOURCES, AverageColors()])
    return FeatureExtractorSettings("AverageColors", "random")


def test_a_new_source_is_exported_and_computes_features(toy, tmp_path):
    store = FeatureStore(str(tmp_path / fingerprint(toy)))
    assert store.prepare_backbone(toy) == ((2, 2), 3)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    expected = pixels.reshape(2, 2, 8, 2, 8, 3).mean((2, 4)).reshape(2, 4, 3) / 255
    np.testing.assert_allclose(Backbone(store.directory).from_pixels(pixels), expected, atol=1e-3)


def test_an_unknown_backbone_is_refused_with_the_known_ones(toy):
    with pytest.raises(
        ValueError, match=r"unknown backbone InceptionV9; known backbones: .*preset.*InceptionV3.*AverageColors"
    ):
        registry.source_of(FeatureExtractorSettings("InceptionV9", "random"))


def test_sources_have_different_names():
    names = [source.name for source in registry.SOURCES]
    assert len(set(names)) == len(names)
