"""The time from an image's bytes to its caption, and the backbone's fraction of it."""

import pathlib
import tempfile
from collections.abc import Iterator

import tensorflow as tf

from benchmarks.caption import SIZES, trained
from benchmarks.measuring import Result, in_turns
from components.exporter.settings import DecodingSettings
from components.shared import scenes
from components.shared.features import Backbone, Manifest
from components.shared.images import decoding

CALLS, ROUNDS = 10, 5


def single_image() -> Iterator[Result]:
    """Measures the serving signature with a batch of one, and the backbone alone on the same decoded image."""
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory) / "root"
        for name, size in SIZES.items():
            model = tf.saved_model.load(trained(root, size))
            manifest = Manifest.load(str(next(root.glob("artifacts/FeatureExtractor/features/*"))))
            yield from _single_image(name, model.signatures["serving_default"], Backbone(manifest.directory))


def _single_image(name: str, serve, backbone: Backbone) -> Iterator[Result]:
    encoded = tf.constant([scenes.jpeg(0, 0)])
    pixels = decoding.decode_and_resize(encoded[0], backbone.size)[None]
    num_words = len(serve(image_bytes=encoded)["caption"].numpy()[0].split())

    def caption() -> None:
        for _ in range(CALLS):
            serve(image_bytes=encoded)["caption"].numpy()

    def extract() -> None:
        for _ in range(CALLS):
            backbone.from_pixels(pixels).numpy()

    total, backbone_time = (seconds / CALLS for seconds in in_turns(caption, extract, ROUNDS))
    beam_size = DecodingSettings().beam_size
    detail = f"JPEG to a caption of {num_words} words, beam {beam_size}, batch 1; {', '.join(SIZES[name])}"
    yield Result(f"serve.seconds_one_{name}", total, "s", detail)
    detail = f"InceptionV3 alone {backbone_time:.3f} s of {total:.3f} s"
    yield Result(f"serve.fraction_not_backbone_{name}", 1 - backbone_time / total, "ratio", detail)
