import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.shared.images.decoding import decode, decode_and_resize
from tests.factories import encode


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_decode_returns_the_pixels(image, kind):
    np.testing.assert_array_equal(decode(tf.constant(encode(image, kind))), np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_decode_converts_every_jpeg_to_rgb(image, mode):
    decoded = decode(tf.constant(encode(image.convert(mode), quality=95)))
    expected = np.asarray(image.convert(mode).convert("RGB"), int)
    assert decoded.shape == (30, 40, 3)
    assert np.abs(decoded.numpy().astype(int) - expected).mean() < 6


def test_decode_returns_the_first_frame_of_an_animation(image):
    frames = [image, Image.new("RGB", image.size, "white")]
    encoded = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(tf.constant(encoded)).numpy().mean() < 200


def test_exif_orientation_is_ignored(image):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be rotated by 90 degrees
    data = encode(image, exif=exif)
    np.testing.assert_array_equal(decode(tf.constant(data)), decode(tf.constant(encode(image))))


def test_sixteen_bits_become_eight():
    gray = np.arange(150 * 200, dtype=np.uint16).reshape(150, 200) * 2
    data = encode(Image.fromarray(gray), "PNG")
    np.testing.assert_array_equal(decode(tf.constant(data))[..., 0], gray >> 8)


def test_resize_keeps_the_whole_image(image):
    resized = decode_and_resize(tf.constant(encode(image, "PNG")), 8).numpy()
    assert resized.shape == (8, 8, 3)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized.mean((0, 1)), np.asarray(image).mean((0, 1)), atol=3)


def test_downsizing_is_antialiased():
    stripes = Image.fromarray(np.tile(np.uint8([[[0], [255]]]), (64, 32, 3)).reshape(64, 64, 3))
    resized = decode_and_resize(tf.constant(encode(stripes, "PNG")), 8).numpy()
    np.testing.assert_allclose(resized, 127.5, atol=20)
