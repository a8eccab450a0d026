"""Image backbones of `keras.applications` and their weights.

What changes a feature is in this file, in `export` beside it and in `components.images`, how it is written in
`components.features`; the store's fingerprint hashes all four.
"""

import dataclasses
import hashlib
import inspect
import itertools
import json
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence

import h5py
import keras
import numpy as np
import tensorflow as tf

from components import images, scenes
from components.source import source_hash

IMAGENET, RANDOM = "imagenet", "random"
SOURCE = (
    "components.feature_extractor.backbones",
    "components.feature_extractor.export",
    "components.features",
    "components.images",
)
SEED = 0  # of random weights and of the scenes that their batch norm is set on
CALIBRATION_SCENES = 16

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
# widths that a weights file may have been trained at; the one that fits is taken
_VARIANTS: Mapping[str, tuple[dict, ...]] = {
    "MobileNet": tuple({"alpha": alpha} for alpha in (1.0, 0.75, 0.5, 0.25)),
    "MobileNetV2": tuple({"alpha": alpha} for alpha in (1.0, 1.4, 1.3, 0.75, 0.5, 0.35)),
}


@dataclasses.dataclass(frozen=True)
class BackboneSettings:
    """Which backbone.

    Attributes:
      name: a class of `keras.applications`.
      weights: "imagenet", "random", or the path of a weights file.
      image_size: side of the input in pixels; 0 for the backbone's own.
    """

    name: str
    weights: str
    image_size: int = 0

    @property
    def size(self) -> int:
        """Side of the input in pixels."""
        return self.image_size or _SIZES.get(self.name, 224)


def fingerprint(settings: BackboneSettings) -> str:
    """Names all that changes a feature: backbone, weights (a file by its content), preprocessing, and its encoding.

    Returns:
      32 hexadecimal digits.

    Raises:
      FileNotFoundError: no such weights file.
    """
    weights = settings.weights
    if weights == RANDOM:
        weights = f"{RANDOM} {SEED} {source_hash('components.scenes')}"
    elif weights != IMAGENET:
        with tf.io.gfile.GFile(_existing(weights), "rb") as file:
            weights = hashlib.sha256(file.read()).hexdigest()
    code = source_hash(*SOURCE)
    parts = json.dumps([settings.name, settings.size, weights, code])
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def build(settings: BackboneSettings) -> keras.Model:
    """Builds a backbone without its classifier, with its weights.

    Returns:
      float32 [B, size, size, 3], scaled as the backbone wants it -> float32 [B, rows, columns, channels].

    Raises:
      ValueError: there is no such backbone, or its weights can't be had or do not fit.
    """
    make = _constructor(settings.name)
    shape = (settings.size, settings.size, 3)
    if settings.weights == RANDOM:
        model = make(include_top=False, weights=None, input_shape=shape)
        _randomize(model, settings)
        return model
    if settings.weights == IMAGENET:
        return _build_imagenet(make, settings, shape)
    return _build_from_file(make, settings, shape)


def preprocessing(name: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """The scaling of values that a backbone was trained with: RGB in 0..255 -> its input."""
    return sys.modules[_constructor(name).__module__].preprocess_input


def _constructor(name: str) -> Callable[..., keras.Model]:
    make = getattr(keras.applications, name, None)
    if not inspect.isfunction(make):
        known = [other for other in dir(keras.applications) if inspect.isfunction(getattr(keras.applications, other))]
        raise ValueError(f"feature_extractor.backbone: keras.applications has no {name}; it has {', '.join(known)}")
    return make


def _build_imagenet(make: Callable[..., keras.Model], settings: BackboneSettings, shape: tuple) -> keras.Model:
    try:
        return make(include_top=False, weights=IMAGENET, input_shape=shape)
    except Exception as error:  # Keras raises a bare Exception when a download fails
        address = re.search(r"\S+://\S+/([\w.-]+)", str(error))
        if address is None:
            raise
        home = os.environ.get("KERAS_HOME", os.path.expanduser("~/.keras"))
        place = os.path.join(home, "models", address[1])
        raise ValueError(
            f"the ImageNet weights of {settings.name} can't be downloaded. Two ways out: put the file {address[1]} "
            f"at {place} (or anywhere, and set feature_extractor.weights to its path); or set "
            f"feature_extractor.weights to {RANDOM}, which needs no file and is for trying the pipeline out."
        ) from error


def _build_from_file(make: Callable[..., keras.Model], settings: BackboneSettings, shape: tuple) -> keras.Model:
    path = _existing(settings.weights)
    faults = []
    for variant in _VARIANTS.get(settings.name, ({},)):
        model = make(include_top=False, weights=None, input_shape=shape, **variant)
        try:
            model.load_weights(path)
            return model
        except Exception as error:  # of a damaged file comes whatever h5py and zipfile raise
            fault = _first_misfit(path, model) or _without_values(error) or type(error).__name__
            faults.append(" ".join([f"with {variant}:" if variant else "", fault]).strip())
    raise ValueError(f"feature_extractor.weights: {path} does not fit {settings.name}: {faults[0]}")


def _first_misfit(path: str, model: keras.Model) -> str:
    """The first layer that does not fit a weights file of Keras 1 and 2, where Keras tells only how many layers it has.

    Those files, which `keras.applications` downloads still, hold the layers' weights in the model's order.

    Returns:
      a sentence; "" for a file of another kind, and for a damaged one.
    """
    try:
        with h5py.File(path) as file:
            group = file.get("model_weights", file)
            saved = [(name, _saved_shapes(group[name])) for name in _names(group, "layer_names") if name in group]
    except (OSError, RuntimeError, KeyError):
        return ""
    if not saved and not path.endswith(".weights.h5"):
        return "it has no layers as Keras 1 and 2 save them; if Keras 3 saved it, its name has to end in .weights.h5"
    if not saved:
        return ""
    wanted = [(layer.name, [tuple(weight.shape) for weight in layer.weights]) for layer in model.layers]
    pairs = itertools.zip_longest(*([one for one in several if one[1]] for several in (wanted, saved)))
    for ours, theirs in pairs:
        if ours is None or theirs is None or ours[1] != theirs[1]:
            has, holds = (f"{one[0]} {_in_words(one[1])}" if one else "no more layer" for one in (ours, theirs))
            return f"where the backbone has {has}, the file has {holds}"
    return ""


def _saved_shapes(layer: h5py.Group) -> list[tuple[int, ...]]:
    return [layer[name].shape for name in _names(layer, "weight_names") if name in layer]


def _names(group: h5py.Group, attribute: str) -> list[str]:
    return [name if isinstance(name, str) else name.decode() for name in group.attrs.get(attribute, [])]


def _in_words(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in shapes)


def _without_values(error: Exception) -> str:
    """What Keras says of a layer that does not fit, in one line: it goes on with arrays and with all other layers."""
    said = re.split(r"Target variable:|List of objects", str(error))[0]
    return " ".join(said.split())


def _existing(path: str) -> str:
    if not tf.io.gfile.exists(path):
        raise FileNotFoundError(
            f"feature_extractor.weights: {path} is no file; give a path, or one of {IMAGENET}, {RANDOM}"
        )
    return path


def _randomize(model: keras.Model, settings: BackboneSettings) -> None:
    """Sets seeded random weights, and the batch-norm statistics that belong to them.

    With the statistics of a fresh model (mean 0, variance 1) activations fade from layer to layer until all pictures
    have the same features. They are set on drawn scenes, not on the run's pictures, so that a picture's features do not
    depend on its company.
    """
    rng = np.random.default_rng(SEED)
    for variable in model.trainable_variables:
        shape = tuple(variable.shape)
        if len(shape) >= 2:
            # He et al. 2015, https://arxiv.org/abs/1502.01852; a depthwise kernel sees one channel
            fan_in = math.prod(shape[:2] if "depthwise" in variable.path else shape[:-1])
            variable.assign(rng.normal(0.0, math.sqrt(2.0 / fan_in), shape).astype("float32"))
        elif "layer_scale" in variable.path:
            variable.assign(tf.ones(shape))  # ConvNeXt begins at 1e-6, at which its blocks do nothing
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # one pass in training mode then leaves just this batch's statistics
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0  # or the statistics would be others each time; features are made without dropout anyway
    pictures = [scenes.jpeg(SEED, index) for index in range(CALIBRATION_SCENES)]
    pixels = tf.stack([images.decode_and_resize(tf.constant(picture), settings.size) for picture in pictures])
    # as a graph: run eagerly, oneDNN keeps 1.7 GB of scratch memory for InceptionV3
    tf.function(lambda batch: model(batch, training=True))(preprocessing(settings.name)(pixels))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
