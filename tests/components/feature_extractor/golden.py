"""Golden features: what the code of the current FEATURE_VERSION makes of three images.

After raising FEATURE_VERSION, write those of the new version:

    python -m tests.components.feature_extractor.golden
"""

import dataclasses
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from components.feature_extractor.identity import FEATURE_VERSION
from components.feature_extractor.settings import FeatureExtractorSettings
from components.feature_extractor.store import FeatureStore
from components.shared import scenes
from components.shared.features import Backbone
from components.shared.images.decoding import decode_and_resize
from components.shared.images.inspection import to_tf_decodable
from components.shared.shard_format import serialize
from tests.factories import encode

SETTINGS = FeatureExtractorSettings("MobileNet", "random", 32)


@dataclasses.dataclass(frozen=True)
class Golden:
    """The stages from bytes to a stored feature.

    Attributes:
      pixels: float32 [3, 32, 32, 3], decoded and resized.
      features: float16 [3, 1, 1024], of a backbone with random weights.
      record: uint8 [n], the record of a made-up feature.
    """

    pixels: np.ndarray
    features: np.ndarray
    record: np.ndarray


def path(version: int) -> pathlib.Path:
    return pathlib.Path(__file__).with_name(f"golden_features_v{version}.npz")


def load(version: int) -> Golden:
    with np.load(path(version)) as arrays:
        return Golden(**arrays)


def compute() -> Golden:
    """Runs the current code on a JPEG, a BMP with a palette, which TensorFlow can't decode, and a gray PNG."""
    images = [
        scenes.jpeg(1, 0),
        encode(scenes.draw(1, 1).convert("P"), "BMP"),
        encode(scenes.draw(1, 2).convert("L"), "PNG"),
    ]
    encoded = [to_tf_decodable(image) for image in images]
    pixels = np.stack([decode_and_resize(tf.constant(image), 32).numpy() for image in encoded])
    with tempfile.TemporaryDirectory() as directory:
        FeatureStore(directory).prepare_backbone(SETTINGS)
        features = Backbone(directory)(tf.constant(encoded)).numpy()
    record = serialize("a hash", np.arange(-3, 3, dtype=np.float16).reshape(2, 3) / 7)
    return Golden(pixels, features, np.frombuffer(record, np.uint8))


def main() -> None:
    target = path(FEATURE_VERSION)
    if target.exists():
        raise SystemExit(
            f"{target} exists: raise FEATURE_VERSION, since features of version {FEATURE_VERSION} are kept"
        )
    np.savez_compressed(target, **vars(compute()))
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
