"""What one picture costs from its bytes to its caption, and how much of that the backbone takes."""

import pathlib
import tempfile
from collections.abc import Iterator

import tensorflow as tf

from benchmarks.caption import SIZES, trained
from benchmarks.measuring import Result, in_turns
from components import images, scenes
from components.features import Backbone, Manifest

CALLS, ROUNDS = 10, 5


def one_picture() -> Iterator[Result]:
    """A batch of one through the signature that serves, against the backbone alone on the same decoded picture."""
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory) / "root"
        for name, size in SIZES.items():
            model = tf.saved_model.load(trained(root, size))
            manifest = Manifest.load(str(next(root.glob("artifacts/FeatureExtractor/features/*"))))
            yield from _one_picture(name, model.signatures["serving_default"], Backbone(manifest.directory))


def _one_picture(name: str, serve, backbone: Backbone) -> Iterator[Result]:
    encoded = tf.constant([scenes.jpeg(0, 0)])
    pixels = images.decode_and_resize(encoded[0], backbone.size)[None]
    words = len(serve(image_bytes=encoded)["caption"].numpy()[0].split())

    def whole() -> None:
        for _ in range(CALLS):
            serve(image_bytes=encoded)["caption"].numpy()

    def network() -> None:
        for _ in range(CALLS):
            backbone.from_pixels(pixels).numpy()

    ours, theirs = (seconds / CALLS for seconds in in_turns(whole, network, ROUNDS))
    detail = f"JPEG to a caption of {words} words, beam 3, batch 1; {', '.join(SIZES[name])}"
    yield Result(f"serve.seconds_one_{name}", ours, "s", detail)
    detail = f"InceptionV3 alone {theirs:.3f} s of {ours:.3f} s"
    yield Result(f"serve.share_not_backbone_{name}", 1 - theirs / ours, "ratio", detail)
