"""Backbones of `keras.applications`, with ImageNet weights, those of a file, or random ones."""

import contextlib
import inspect
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping

import keras
import tensorflow as tf

from components.feature_extractor.backbones import imagenet_weights, random_weights, weights_file
from components.feature_extractor.settings import FeatureExtractorSettings
from components.shared import node_cache, storage

IMAGENET, RANDOM = "imagenet", "random"
SILENT_SECONDS = 10.0  # after which a host that sends nothing counts as unreachable

# input sizes in pixels, where they are not 224
_SIZES = {
    "InceptionV3": 299,
    "InceptionResNetV2": 299,
    "Xception": 299,
    "NASNetLarge": 331,
    "EfficientNetB1": 240,
    "EfficientNetB2": 260,
    "EfficientNetB3": 300,
    "EfficientNetB4": 380,
    "EfficientNetB5": 456,
    "EfficientNetB6": 528,
    "EfficientNetB7": 600,
    "EfficientNetV2B1": 240,
    "EfficientNetV2B2": 260,
    "EfficientNetV2B3": 300,
    "EfficientNetV2S": 384,
    "EfficientNetV2M": 480,
    "EfficientNetV2L": 480,
}
# widths that a weights file may have been trained at; the first that fits is used
_VARIANTS: Mapping[str, tuple[dict, ...]] = {
    "MobileNet": tuple({"alpha": alpha} for alpha in (1.0, 0.75, 0.5, 0.25)),
    "MobileNetV2": tuple({"alpha": alpha} for alpha in (1.0, 1.4, 1.3, 0.75, 0.5, 0.35)),
}


class KerasApplications:
    """See `source.BackboneSource`."""

    name = "keras.applications"

    @property
    def choices(self) -> str:
        """The names of all constructors."""
        names = dir(keras.applications)
        return ", ".join(name for name in names if inspect.isfunction(getattr(keras.applications, name)))

    def matches(self, settings: FeatureExtractorSettings) -> bool:
        return inspect.isfunction(getattr(keras.applications, settings.backbone, None))

    def input_size(self, settings: FeatureExtractorSettings) -> int:
        return settings.image_size or _SIZES.get(settings.backbone, 224)

    def weights_identity(self, settings: FeatureExtractorSettings) -> str:
        if settings.weights == IMAGENET:
            return IMAGENET
        if settings.weights == RANDOM:
            return f"{RANDOM} {random_weights.SEED}"
        return storage.sha256(node_cache.file(_existing(settings.weights)))

    def build(self, settings: FeatureExtractorSettings) -> keras.Model:
        constructor = getattr(keras.applications, settings.backbone)
        size = self.input_size(settings)
        if settings.weights == IMAGENET:
            return _build_imagenet(constructor, settings.backbone, size)
        if settings.weights == RANDOM:
            model = constructor(include_top=False, weights=None, input_shape=(size, size, 3))
            random_weights.randomize(model, self.preprocess(settings), size)
            return model
        return _build_from_file(constructor, settings, size)

    def preprocess(self, settings: FeatureExtractorSettings) -> Callable[[tf.Tensor], tf.Tensor]:
        return sys.modules[getattr(keras.applications, settings.backbone).__module__].preprocess_input


def _build_imagenet(constructor: Callable[..., keras.Model], name: str, size: int) -> keras.Model:
    try:
        with _socket_timeout(SILENT_SECONDS):
            return constructor(include_top=False, weights=IMAGENET, input_shape=(size, size, 3))
    except TimeoutError as error:  # the host has fallen silent in the middle of the file
        raise ValueError(f"the ImageNet weights of {name} can't be downloaded: {error}. Try again later.") from error
    except Exception as error:  # Keras raises a bare Exception when a download fails
        url = re.search(r"\S+://\S+/([\w.-]+)", str(error))
        if url is None:
            raise
        path = imagenet_weights.cache_path(url[1])
        raise ValueError(
            f"the ImageNet weights of {name} can't be downloaded. Either put the file {url[1]} at {path} (or anywhere, "
            f"and set feature_extractor.weights to its path); or set feature_extractor.weights to {RANDOM}, which "
            "needs no file and is for trying the pipeline out."
        ) from error


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Limits the time that a connection may be silent: Keras would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _build_from_file(
    constructor: Callable[..., keras.Model], settings: FeatureExtractorSettings, size: int
) -> keras.Model:
    path = _existing(settings.weights)
    copy = node_cache.file(path)
    faults = []
    for variant in _VARIANTS.get(settings.backbone, ({},)):
        model = constructor(include_top=False, weights=None, input_shape=(size, size, 3), **variant)
        try:
            weights_file.load(model, copy)
            return model
        except ValueError as error:
            faults.append(f"with {variant}: {error}" if variant else str(error))
    raise ValueError(f"feature_extractor.weights: {path} does not fit {settings.backbone}: {faults[0]}")


def _existing(path: str) -> str:
    if not storage.exists(path) or storage.is_directory(path):
        raise FileNotFoundError(
            f"feature_extractor.weights: {path} is neither a weights file nor a KerasHub preset; give one of them, or "
            f"{IMAGENET} or {RANDOM}"
        )
    return path
