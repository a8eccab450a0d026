"""Image encoders of KerasHub presets (https://keras.io/keras_hub) that lie in a directory, on a disk or in a bucket.

A preset is a directory with `config.json` (the model), `image_converter.json` (the scaling of values) and
`model.weights.h5`, or shards of it. `feature_extractor.weights` is the directory, `feature_extractor.backbone` the
class in its `config.json`: `ViTBackbone`, `CLIPBackbone`, `ResNetBackbone`. Of a model of images and text the image
encoder is used. How a preset is read safely: `components.shared.presets`.
"""

import dataclasses
import hashlib
import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from components.feature_extractor.settings import FeatureExtractorSettings
from components.shared import presets, storage
from components.shared.presets import CONFIG, IMAGE_CONVERTER

# what determines features, of all that a preset holds
_IDENTITY_FILES = re.compile(rf"{re.escape(CONFIG)}|{re.escape(IMAGE_CONVERTER)}|model.*\.(h5|weights\.json)")
_ENCODERS = ("vision_encoder", "image_encoder")  # what a model of images and text calls its image encoder


class KerasHubPresets:
    """See `source.BackboneSource`."""

    name = "keras_hub"
    choices = "the class in the config.json of a preset, with feature_extractor.weights=DIRECTORY_OF_THE_PRESET"

    def matches(self, settings: FeatureExtractorSettings) -> bool:
        return storage.exists(os.path.join(settings.weights, CONFIG))

    def input_size(self, settings: FeatureExtractorSettings) -> int:
        return _Preset.read(settings).size

    def weights_identity(self, settings: FeatureExtractorSettings) -> str:
        digest = hashlib.sha256()
        directory = _Preset.read(settings).directory
        for name in filter(_IDENTITY_FILES.fullmatch, storage.list_names(directory)):
            digest.update(f"{name}\0{storage.sha256(os.path.join(directory, name))}\0".encode())
        return digest.hexdigest()

    def build(self, settings: FeatureExtractorSettings) -> keras.Model:
        preset = _Preset.read(settings)
        backbone = _load(preset)
        encoder = next((getattr(backbone, name) for name in _ENCODERS if hasattr(backbone, name)), backbone)
        if len(keras.tree.flatten(encoder.input)) != 1:
            raise ValueError(f"{preset.label}: {settings.backbone} is not an image encoder, it has several inputs")
        pixels = keras.Input((preset.size, preset.size, 3))
        # in the structure that the encoder was built with: CLIP's is a dict
        features = encoder(keras.tree.map_structure(lambda _: pixels, encoder.input))
        return keras.Model(pixels, _to_map(features, preset))

    def preprocess(self, settings: FeatureExtractorSettings) -> Callable[[tf.Tensor], tf.Tensor]:
        preset = _Preset.read(settings)
        scale, offset = (tf.constant(value, tf.float32) for value in (preset.scale, preset.offset))
        return lambda pixels: pixels * scale + offset


@dataclasses.dataclass(frozen=True)
class _Preset:
    """What the JSON files of a preset say.

    Attributes:
      place: its absolute path, so that no name of a preset to download is ever meant, or its URI.
      directory: the same, or a local copy.
      size: side of the input in pixels.
      num_patches: number of patches of a vision transformer; None for other models.
      scale: factor of pixel values, or one per channel.
      offset: summand, after the scale, or one per channel.
    """

    place: str
    directory: str
    size: int
    num_patches: int | None
    scale: Any
    offset: Any

    @property
    def label(self) -> str:
        """The setting and the directory, for messages."""
        return f"feature_extractor.weights: {self.place}"

    @classmethod
    def read(cls, settings: FeatureExtractorSettings) -> "_Preset":
        """Reads a preset, without KerasHub.

        Raises:
          ValueError: it holds another backbone than the settings name, or can't be used.
        """
        place, directory = presets.local_copy(settings.weights)
        label = f"feature_extractor.weights: {place}"
        model = presets.read_object(directory, CONFIG, label)
        if model["class_name"] != settings.backbone:
            raise ValueError(
                f"feature_extractor.backbone: {place} holds a {model['class_name']}, not a {settings.backbone}; "
                f"set feature_extractor.backbone to {model['class_name']}"
            )
        encoder = model["config"]
        for name in _ENCODERS:
            if name in encoder:
                encoder = presets.checked(encoder[name], f"{label}: {CONFIG}")["config"]
        converter = presets.read_object(directory, IMAGE_CONVERTER, label)["config"]
        size = _input_size(settings.image_size, encoder, converter, label)
        patch = _side(encoder.get("patch_size"))
        num_patches = (size // patch) ** 2 if patch else None
        scale, offset = (converter.get(name) for name in ("scale", "offset"))
        return cls(place, directory, size, num_patches, 1.0 if scale is None else scale, offset or 0.0)


def _input_size(requested: int, encoder: Mapping[str, Any], converter: Mapping[str, Any], label: str) -> int:
    shape = list(encoder.get("image_shape") or [None, None])[:2]
    if shape[0] != shape[1]:
        raise ValueError(f"{label}: its images are {shape[1]}x{shape[0]} pixels; only square ones are supported")
    if requested and shape[0] not in (None, requested):
        raise ValueError(f"feature_extractor.image_size: {requested}, but the preset takes {shape[0]} pixels")
    size = shape[0] or requested or _side(converter.get("image_size"))
    if not size:
        raise ValueError(f"{label} takes images of any size; set feature_extractor.image_size")
    return size


def _side(size: Any) -> int:
    """Side of a square that a config gives as one number or as two; 0 for None."""
    return int((size[0] if isinstance(size, (list, tuple)) else size) or 0)


def _load(preset: _Preset) -> keras.Model:
    with presets.loading(preset.label) as keras_hub:
        return keras_hub.models.Backbone.from_preset(preset.directory, dtype="float32")


def _to_map(features: Any, preset: _Preset) -> Any:
    """Turns an encoder's output into a map [B, rows, columns, C].

    A map is returned as it is; tokens [B, N, C] are the patches row by row, after the class token if there is one.
    """
    shape: Any = getattr(features, "shape", ())
    if len(shape) == 4:
        return features
    if len(shape) != 3:
        raise ValueError(f"{preset.label}: its output is neither a feature map nor a sequence of tokens")
    num_tokens, channels = shape[1:]
    rows, num_special = _grid(num_tokens, preset.num_patches)
    if rows == 0:
        raise ValueError(f"{preset.label}: its {num_tokens} tokens are not a square grid of patches")
    patches = keras.layers.Cropping1D((num_special, 0))(features)
    return keras.layers.Reshape((rows, rows, channels))(patches)


def _grid(num_tokens: int, num_patches: int | None) -> tuple[int, int]:
    """Finds the grid among the tokens of a square image.

    >>> _grid(197, None), _grid(196, None), _grid(261, 256), _grid(195, None)
    ((14, 1), (14, 0), (16, 5), (0, 0))

    Args:
      num_tokens: number of tokens; class and register tokens come first.
      num_patches: number of patches, where the config says; else there is at most one token before them.

    Returns:
      (rows of the grid, number of tokens before it); (0, 0) if there is none.
    """
    candidates = [num_tokens, num_tokens - 1] if num_patches is None else [num_patches]
    for count in candidates:
        rows = math.isqrt(count)
        if 0 < count <= num_tokens and rows**2 == count:
            return rows, num_tokens - count
    return 0, 0
