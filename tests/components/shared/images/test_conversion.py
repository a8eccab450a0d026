"""Samples that are not 8 bits of red, green and blue become that as a person would see them, or are refused."""

import io

import numpy as np
import pytest
from PIL import Image

from components.shared.images import limits
from components.shared.images.conversion import to_rgb
from components.shared.images.headers import check_header
from components.shared.images.inspection import inspect, to_tf_decodable
from components.shared.images.limits import ImageError, ImageFault
from tests.components.shared.images.factories import BLACK_IS_ZERO, RGB, WHITE_IS_ZERO, tiff
from tests.factories import encode

RAMP = np.arange(64 * 64, dtype="<u2").reshape(64, 64)  # 12 bits


def decoded(data: bytes) -> np.ndarray:
    assert inspect(data) == (64, 64)
    with Image.open(io.BytesIO(to_tf_decodable(data))) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def fault_of(data: bytes) -> tuple[ImageFault, str]:
    with pytest.raises(ImageError) as error:
        inspect(data)
    return error.value.fault, str(error.value)


@pytest.mark.parametrize("offset", [0, 20_000])
def test_gray_of_16_bits_is_stretched_to_its_range(offset):
    expected = np.round(RAMP * (255 / RAMP.max())).astype(np.uint8)
    for data in (
        tiff(RAMP + np.uint16(offset), BLACK_IS_ZERO),
        encode(Image.fromarray(RAMP + np.uint16(offset)), "JPEG2000"),
    ):
        pixels = decoded(data)
        np.testing.assert_array_equal(pixels, np.stack([expected] * 3, axis=-1))


def test_white_is_zero_where_a_tiff_says_so():
    pixels = decoded(tiff(RAMP, WHITE_IS_ZERO))
    assert (pixels[0, 0] == 255).all() and (pixels[-1, -1] == 0).all()
    assert (decoded(tiff(np.uint8(RAMP % 256), WHITE_IS_ZERO))[0, 0] == 255).all()


def test_an_even_gray_image_has_one_value():
    assert len(np.unique(decoded(tiff(np.full((64, 64), 700, "<u2"), BLACK_IS_ZERO)))) == 1


def test_colors_of_16_bits_keep_their_proportions():
    colors = np.stack([RAMP * 8, RAMP * 4, RAMP * 0], axis=-1)  # 15 bits
    pixels = decoded(tiff(colors, RGB))
    assert pixels.min() == 0 and pixels.max() == 255
    np.testing.assert_allclose(pixels, colors * (255 / colors.max()), atol=2.5)


def test_colors_of_16_bits_that_use_only_the_low_byte_are_refused():
    fault, detail = fault_of(tiff(np.stack([RAMP] * 3, axis=-1), RGB))
    assert fault == ImageFault.UNDECODABLE
    assert detail == "16 bits per sample, of which only the lowest 12 or fewer are used: convert it to 8 bits"


@pytest.mark.parametrize("dtype", ["u1", "<u2"])
def test_near_infrared_is_dropped(dtype):
    scale = 1 if dtype == "u1" else 257
    samples = np.stack([RAMP % 256, RAMP // 16, 255 - RAMP % 256, RAMP % 7], axis=-1) * scale
    pixels = decoded(tiff(samples.astype(dtype), RGB, num_extra=1))
    np.testing.assert_array_equal(pixels, samples[..., :3] // scale)


@pytest.mark.parametrize(
    ("samples", "kind"),
    [
        (np.float32(RAMP), "TIFF with 32-bit float samples"),
        (np.int16(RAMP), "TIFF with signed or 32-bit samples"),
        (np.uint32(RAMP), "TIFF with signed or 32-bit samples"),
        (np.float64(RAMP), "TIFF of 1 bands of 64 bits of a float"),
        (np.stack([np.float32(RAMP)] * 3, axis=-1), "TIFF of 3 bands of 32 bits of a float"),
        (np.stack([RAMP] * 6, axis=-1), "TIFF of 6 bands of 16 bits"),
        (np.stack([np.uint8(RAMP)] * 2, axis=-1), "TIFF of 2 bands of 8 bits"),
    ],
)
def test_samples_without_a_brightness_or_a_color_are_refused_by_their_kind(samples, kind):
    num_bands = samples.shape[2] if samples.ndim == 3 else 1
    fault, detail = fault_of(tiff(samples, BLACK_IS_ZERO, num_extra=num_bands - 1))
    assert fault == ImageFault.UNDECODABLE
    assert detail.startswith(kind) and "convert it to" in detail


def test_luminance_and_chrominance_are_read_with_jpeg_and_refused_without():
    image = Image.radial_gradient("L").convert("RGB").resize((64, 64))
    pixels = decoded(encode(image, "TIFF", compression="jpeg"))
    assert np.abs(pixels.astype(int) - np.asarray(image)).mean() < 4
    fault, detail = fault_of(encode(image.convert("YCbCr"), "TIFF"))
    assert fault == ImageFault.UNDECODABLE and "YCbCr without compression" in detail


def test_a_tile_that_is_larger_than_any_image_is_refused_undecoded():
    data = tiff(np.uint8(RAMP), BLACK_IS_ZERO, tags={322: 60_000, 323: 60_000})
    with pytest.raises(ImageError, match="tiles of 60000x60000 pixels"):
        check_header(data)


@pytest.mark.parametrize("kind", ["TIFF", "JPEG2000", "AVIF"])
def test_the_size_is_checked_before_an_image_is_decoded(monkeypatch, kind):
    data = encode(Image.new("RGB", (64, 32)), kind)
    monkeypatch.setattr(limits, "MAX_PIXELS", 64 * 32 - 1)
    monkeypatch.setattr("components.shared.images.inspection.to_rgb", lambda image: pytest.fail("decoded"))
    assert fault_of(data)[0] == ImageFault.TOO_LARGE


def test_eight_bits_are_unchanged():
    image = Image.radial_gradient("L").convert("RGB")
    assert to_rgb(image).tobytes() == image.tobytes()
