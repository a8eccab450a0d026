"""Settings of FeatureExtractor."""

from pydantic import NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

from components.shared.settings import STRICT, UserPath


@dataclass(frozen=True, config=STRICT)
class FeatureExtractorSettings:
    """The frozen backbone that turns images into features."""

    backbone: str = "InceptionV3"
    """Name of the backbone: a constructor of `keras.applications`, or the class of a KerasHub preset."""
    weights: UserPath = "imagenet"
    """`imagenet`, `random`, the path of a weights file, or the directory of a KerasHub preset."""
    image_size: NonNegativeInt = 0
    """Side of the backbone's square input in pixels; 0 takes the backbone's own."""
    batch_size: PositiveInt = 16
    """Number of images per call of the backbone."""
    store_dir: UserPath | None = None
    """Directory of the feature store, which several roots may share; null puts it below the root."""
