"""What a source of backbones provides."""

from collections.abc import Callable
from typing import Protocol

import keras
import tensorflow as tf

from components.feature_extractor.settings import FeatureExtractorSettings


class BackboneSource(Protocol):
    """A library of image backbones. Only `backbone`, `weights` and `image_size` of the settings are for it.

    Attributes:
      name: the source's name, part of the feature identity.
    """

    name: str

    @property
    def choices(self) -> str:
        """The backbones that it has, for the message about an unknown one."""
        ...

    def matches(self, settings: FeatureExtractorSettings) -> bool:
        """Whether the source provides this backbone with these weights."""
        ...

    def input_size(self, settings: FeatureExtractorSettings) -> int:
        """Side in pixels of the square images that the backbone takes."""
        ...

    def weights_identity(self, settings: FeatureExtractorSettings) -> str:
        """A name for the weights, different for weights that differ; of a file it is a hash.

        Raises:
          FileNotFoundError: there is no such file.
        """
        ...

    def build(self, settings: FeatureExtractorSettings) -> keras.Model:
        """Builds the backbone without its classifier, with its weights.

        Returns:
          float32 [B, size, size, 3], preprocessed -> float32 [B, rows, columns, channels].

        Raises:
          ValueError: the weights can't be downloaded, or do not fit.
        """
        ...

    def preprocess(self, settings: FeatureExtractorSettings) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns the scaling of values that the backbone was trained with: RGB in 0..255 -> its input."""
        ...
