"""The sources of backbones. A new one is one file beside this one, and one line here."""

from components.feature_extractor.backbones.keras_applications import KerasApplications
from components.feature_extractor.backbones.keras_hub_presets import KerasHubPresets
from components.feature_extractor.backbones.source import BackboneSource
from components.feature_extractor.settings import FeatureExtractorSettings

SOURCES: list[BackboneSource] = [KerasHubPresets(), KerasApplications()]


def source_of(settings: FeatureExtractorSettings) -> BackboneSource:
    """Returns the first source that provides a backbone.

    Raises:
      ValueError: none does.
    """
    for source in SOURCES:
        if source.matches(settings):
            return source
    choices = "; ".join(f"{source.name}: {source.choices}" for source in SOURCES)
    raise ValueError(f"feature_extractor.backbone: unknown backbone {settings.backbone}; known backbones: {choices}")
