import concurrent.futures
import io
import threading

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.shared.images import decoding, inspection, limits
from components.shared.images.decoding import decode
from components.shared.images.inspection import inspect, inspect_all, to_tf_decodable
from components.shared.images.limits import ImageError, ImageFault
from tests.components.shared.images.factories import LEGACY_BMPS, bmp_with_masks, gif, noise
from tests.factories import encode


def test_inspect_returns_the_size(image):
    assert inspect(encode(image)) == (40, 30)


def fault_of(data: bytes) -> ImageFault:
    with pytest.raises(ImageError) as error:
        inspect(data)
    assert str(error.value)
    return error.value.fault


@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "JPEG2000", "AVIF"])
def test_a_truncated_image_is_a_fault(image, kind, fraction):
    data = encode(image.resize((200, 150)), kind)
    assert fault_of(data[: int(fraction * len(data))]) == ImageFault.TRUNCATED


@pytest.mark.parametrize("data", [b"", b"hello, I am not an image", b"\xff\xd8\xff", bytes(5000)])
def test_other_data_is_a_fault(data):
    assert fault_of(data) == ImageFault.UNDECODABLE


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("PNG", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1")),
        *(("BMP", mode) for mode in ("RGB", "RGBA", "L", "P", "1")),
        *(("WEBP", mode) for mode in ("RGB", "RGBA")),
        *(("TIFF", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "LAB")),
        *(("JPEG2000", mode) for mode in ("RGB", "RGBA", "L", "LA", "CMYK")),
        *(("AVIF", mode) for mode in ("RGB", "RGBA", "L")),
        ("GIF", "P"),
    ],
)
def test_every_kind_of_image_has_the_pixels_that_pillow_decodes(kind, mode):
    data = encode(noise(mode), kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert inspect(data) == (200, 150)
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.asarray(opened.convert("RGB"))
    np.testing.assert_array_equal(decode(tf.constant(to_tf_decodable(data))), expected)


def test_a_bmp_with_unusual_channel_masks_has_the_right_colors(image):
    data = bmp_with_masks(image)
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.asarray(opened.convert("RGB"))
    np.testing.assert_array_equal(decode(tf.constant(to_tf_decodable(data))), expected)
    assert not np.array_equal(expected, np.asarray(image))


RED, GREEN = (255, 0, 0), (0, 255, 0)


@pytest.mark.parametrize("kind", LEGACY_BMPS)
def test_legacy_bmps_have_the_right_colors(kind):
    data = LEGACY_BMPS[kind]
    assert inspect(data) == (8, 8)
    pixels = decode(tf.constant(to_tf_decodable(data))).numpy()
    assert [tuple(pixels[row, 3]) for row in (0, 3, 4, 7)] == [RED, RED, GREEN, GREEN]


def test_size_ignores_the_exif_orientation(image):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be rotated by 90 degrees
    assert inspect(encode(image, exif=exif)) == image.size


@pytest.mark.parametrize("kind", ["WEBP", "TIFF"])
def test_of_several_frames_or_pages_the_first_counts(image, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(image, kind, save_all=True, append_images=[Image.new("RGB", image.size, "white")], **options)
    np.testing.assert_array_equal(decode(tf.constant(to_tf_decodable(data))), np.asarray(image))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_formats_that_tensorflow_decodes_are_unchanged(image, kind):
    data = encode(image, kind)
    assert to_tf_decodable(data) is data


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", limits.FORMATS)
def test_an_accepted_image_decodes_however_damaged_it_is(kind):
    is_slow = kind in ("TIFF", "JPEG2000", "AVIF")
    whole = encode(noise().crop((0, 0, 60, 45)) if is_slow else noise(), kind)
    rng = np.random.default_rng(1)
    truncated = [whole[:end] for end in range(0, len(whole) - 2, 500)]
    flipped = []
    for _ in range(60):
        data = bytearray(whole)
        for position in rng.integers(len(data), size=rng.integers(1, 9)):
            data[position] ^= int(rng.integers(1, 256))
        flipped.append(bytes(data))
    for data in truncated:
        assert fault_of(data) in (ImageFault.TRUNCATED, ImageFault.UNDECODABLE)
    for data in flipped:
        try:
            width, height = inspect(data)
        except ImageError:
            continue
        assert decode(tf.constant(to_tf_decodable(data))).shape == (height, width, 3)


def test_each_of_several_images_has_its_own_result(image):
    whole, truncated = encode(image), encode(noise())[:5000]
    results = inspect_all([whole, truncated, b"no image", encode(image, "WEBP"), encode(noise(), "BMP")])
    assert (results[0], results[3], results[4]) == ((40, 30), (40, 30), (200, 150))
    assert [results[index].fault for index in (1, 2)] == [ImageFault.TRUNCATED, ImageFault.UNDECODABLE]
    assert inspect_all([]) == []


def test_bytes_pixels_and_sides_are_bounded(image, monkeypatch):
    assert fault_of(encode(image.resize((7, 30)))) == ImageFault.TOO_SMALL
    monkeypatch.setattr(limits, "MAX_PIXELS", 40 * 30 - 1)
    assert fault_of(encode(image)) == ImageFault.TOO_LARGE
    monkeypatch.setattr(limits, "MAX_BYTES", 100)
    assert fault_of(bytes(101)) == ImageFault.TOO_LARGE


def test_the_longest_side_is_that_of_the_schema():
    assert inspect(encode(Image.new("1", (65_535, 8)), "PNG")) == (65_535, 8)
    assert fault_of(encode(Image.new("1", (65_536, 8)), "PNG")) == ImageFault.TOO_LARGE


class RecordingBudget(inspection.PixelBudget):
    """Records what is spent."""

    def __init__(self):
        super().__init__(1000)
        self.spent: list[int] = []

    def spend(self, num_pixels):
        self.spent.append(num_pixels)
        return super().spend(num_pixels)


def test_pixels_decoded_at_a_time_are_bounded(image, monkeypatch):
    budget = RecordingBudget()
    monkeypatch.setattr(inspection, "budget", budget)
    monkeypatch.setattr(inspection, "BATCH_PIXELS", 3 * 1200)
    kinds = ["JPEG"] * 4 + ["WEBP", "BMP", "GIF"]
    assert inspect_all([encode(image, kind) for kind in kinds]) == [(40, 30)] * 7
    assert budget.spent == [3 * 1200, 1200, 3 * 1200, 3 * 1200, 1200]  # WebP and BMP weigh three times as much
    budget.spent.clear()
    inspect(gif((16, 16), (20, 30)))
    assert budget.spent == [16 * 16 + 20 * 30]
    budget.spent.clear()
    results = inspect_all([encode(image), encode(image)[:-40]])  # one by one, after the joint call has failed
    assert results[0] == (40, 30) and results[1].fault == ImageFault.TRUNCATED
    assert budget.spent == [2400, 1200, 1200]
    with budget.spend(1000):  # all of it is released
        pass


def test_threads_wait_for_pixels_and_a_large_image_is_alone():
    budget, held, totals = inspection.PixelBudget(100), 0, []
    lock = threading.Lock()

    def work(num_pixels):
        nonlocal held
        with budget.spend(num_pixels):
            with lock:
                held += num_pixels
                totals.append(held)
            with lock:
                held -= num_pixels

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [60, 30, 20, 300, 50] * 40))
    assert len(totals) == 200
    assert max(total for total in totals if total != 300) <= 100


def test_each_header_is_checked_once(image, monkeypatch):
    checked, check_header = [], inspection.check_header
    monkeypatch.setattr(inspection, "check_header", lambda data: checked.append(data) or check_header(data))
    images = [encode(image, kind) for kind in ("JPEG", "BMP", "WEBP")]
    inspect_all(images)
    assert checked == images


@pytest.fixture
def no_decoding(monkeypatch):
    monkeypatch.setattr(decoding, "decode", lambda encoded: pytest.fail("decoded"))


@pytest.mark.usefixtures("no_decoding")
def test_a_bomb_is_refused_by_its_header(image):
    bomb = bytearray(encode(image, "BMP"))
    bomb[18:26] = (60_000).to_bytes(4, "little") * 2  # the size that the header declares
    assert fault_of(bytes(bomb)) == ImageFault.TOO_LARGE


@pytest.mark.parametrize("extensions", [False, True])
def test_all_frames_of_a_gif_count(monkeypatch, extensions):
    monkeypatch.setattr(limits, "MAX_PIXELS", 16 * 16 + 20 * 30)
    assert inspect(gif((16, 16), (20, 30), extensions=extensions)) == (20, 30)  # as TensorFlow decodes it
    monkeypatch.setattr(decoding, "decode", lambda encoded: pytest.fail("decoded"))
    assert fault_of(gif((16, 16), (20, 30), (1, 1), extensions=extensions)) == ImageFault.TOO_LARGE
    assert fault_of(gif((16, 16), (60, 1), (1, 60), extensions=extensions)) == ImageFault.TOO_LARGE  # 60 x 60


@pytest.mark.usefixtures("no_decoding")
def test_a_gif_bomb_behind_a_small_first_frame_is_refused():
    bomb = bytearray(gif((16, 16), (16, 16)))
    second = bomb.rindex(b"," + bytes(4) + (16).to_bytes(2, "little") * 2)
    bomb[second + 5 : second + 9] = (9_000).to_bytes(2, "little") * 2
    assert fault_of(bytes(bomb)) == ImageFault.TOO_LARGE


def test_a_gif_cut_in_its_first_frame_is_a_fault():
    assert fault_of(gif((16, 16), (20, 30), extensions=True)[:40]) in (ImageFault.TRUNCATED, ImageFault.UNDECODABLE)


def test_a_webp_that_is_too_large_as_png_is_a_fault(monkeypatch):
    data = encode(noise(), "WEBP")  # as a WebP of 16 MB that has 90 MB as PNG: a served model takes only the PNG
    num_bytes = len(to_tf_decodable(data))
    monkeypatch.setattr(limits, "MAX_BYTES", num_bytes - 1)
    assert len(data) < num_bytes and fault_of(data) == ImageFault.TOO_LARGE
    with pytest.raises(ImageError, match=f"{num_bytes} bytes as PNG"):
        to_tf_decodable(data)
    monkeypatch.setattr(limits, "MAX_BYTES", num_bytes)
    assert inspect(data) == (200, 150)
