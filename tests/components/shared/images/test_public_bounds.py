import numpy as np
import pytest
import tensorflow as tf

from components.shared.images import decoding, headers, limits, public_bounds
from components.shared.images.inspection import to_tf_decodable
from tests.components.shared.images.factories import bmp_with_masks, gif, noise
from tests.factories import encode


def test_a_bmp_with_unusual_channel_masks_is_refused(image):
    with pytest.raises(tf.errors.InvalidArgumentError):
        public_bounds.decode_within_bounds(tf.constant(bmp_with_masks(image)), 16)


@pytest.mark.parametrize(
    ("kind", "mode", "is_supported"),
    [
        *((kind, mode, True) for kind, mode in (("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "RGBA"), ("GIF", "P"))),
        *(("BMP", mode, True) for mode in ("RGB", "RGBA", "L")),
        *(("BMP", mode, False) for mode in ("P", "1")),
    ],
)
def test_the_served_model_sees_the_extractors_pixels_or_refuses(kind, mode, is_supported):
    data = encode(noise(mode), kind)
    expected = decoding.decode_and_resize(tf.constant(to_tf_decodable(data)), 16)
    if is_supported:
        np.testing.assert_array_equal(public_bounds.decode_within_bounds(tf.constant(data), 16), expected)
    else:
        with pytest.raises(tf.errors.InvalidArgumentError):
            public_bounds.decode_within_bounds(tf.constant(data), 16)


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "PPM"])
def test_what_no_bound_is_known_for_is_refused_undecoded(monkeypatch, kind):
    # some versions of TensorFlow decode WebP
    monkeypatch.setattr(decoding, "decode", lambda encoded: pytest.fail("decoded"))
    with pytest.raises(tf.errors.InvalidArgumentError):
        public_bounds.decode_within_bounds(tf.constant(encode(noise(), kind)), 16)


@pytest.mark.parametrize("sizes", [[(16, 16)], [(16, 16), (300, 400)], [(1, 60), (60, 1)], [(99, 3)] * 5, []])
@pytest.mark.parametrize("extensions", [False, True])
def test_graph_and_host_count_the_same_pixels_of_a_gif(sizes, extensions):
    data = gif(*sizes, extensions=extensions)
    assert public_bounds._gif_decoded_pixels(tf.constant(data)) == headers.gif_decoded_pixels(data)
    assert public_bounds._gif_decoded_pixels(tf.constant(data[:-1] + b"?")) == headers.gif_decoded_pixels(data)


def test_a_gif_bomb_is_refused_undecoded(monkeypatch):
    bomb = gif((16, 16), (90, 90))
    assert public_bounds.decode_within_bounds(tf.constant(bomb), 16).shape == (16, 16, 3)
    monkeypatch.setattr(limits, "MAX_PIXELS", 16 * 16 + 90 * 90 - 1)
    monkeypatch.setattr(decoding, "decode", lambda encoded: pytest.fail("decoded"))
    with pytest.raises(tf.errors.InvalidArgumentError):
        public_bounds.decode_within_bounds(tf.constant(bomb), 16)


@pytest.mark.slow
def test_the_walk_over_a_broken_gif_ends():
    data = gif((16, 16), (20, 30), extensions=True)
    walk = tf.function(public_bounds._gif_decoded_pixels)
    for end in range(len(data)):
        assert walk(tf.constant(data[:end])) <= 16 * 16 + 0xFFFF * 30
