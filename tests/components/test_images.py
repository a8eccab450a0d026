import concurrent.futures
import io
import threading

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components import images
from components.images import PictureError, PictureFault
from tests.material import encode


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_decode_gives_the_pixels(picture, kind):
    np.testing.assert_array_equal(images.decode(tf.constant(encode(picture, kind))), np.asarray(picture))


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_decode_turns_every_jpeg_into_rgb(picture, mode):
    decoded = images.decode(tf.constant(encode(picture.convert(mode), quality=95)))
    expected = np.asarray(picture.convert(mode).convert("RGB"), int)
    assert decoded.shape == (30, 40, 3)
    assert np.abs(decoded.numpy().astype(int) - expected).mean() < 6


def test_decode_takes_the_first_frame_of_an_animation(picture):
    frames = [picture, Image.new("RGB", picture.size, "white")]
    encoded = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert images.decode(tf.constant(encoded)).numpy().mean() < 200


def test_resize_takes_the_whole_picture(picture):
    resized = images.decode_and_resize(tf.constant(encode(picture, "PNG")), 8).numpy()
    assert resized.shape == (8, 8, 3)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized.mean((0, 1)), np.asarray(picture).mean((0, 1)), atol=3)


def test_resize_looks_at_every_pixel_when_it_shrinks():
    stripes = Image.fromarray(np.tile(np.uint8([[[0], [255]]]), (64, 32, 3)).reshape(64, 64, 3))
    resized = images.decode_and_resize(tf.constant(encode(stripes, "PNG")), 8).numpy()
    np.testing.assert_allclose(resized, 127.5, atol=20)


def test_inspect_tells_the_size(picture):
    assert images.inspect(encode(picture)) == (40, 30)


def fault_of(data: bytes) -> PictureFault:
    with pytest.raises(PictureError) as error:
        images.inspect(data)
    assert str(error.value)
    return error.value.fault


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_inspect_finds_a_picture_cut_off(picture, kind, kept):
    data = encode(picture.resize((200, 150)), kind)
    assert fault_of(data[: int(kept * len(data))]) == PictureFault.TRUNCATED


@pytest.mark.parametrize("data", [b"", b"hello, I am no picture", b"\xff\xd8\xff", bytes(5000)])
def test_inspect_finds_what_is_no_picture(data):
    assert fault_of(data) == PictureFault.UNDECODABLE


def noise(mode: str = "RGB") -> Image.Image:
    """200 x 150 pixels that no compression makes small."""
    values = np.random.default_rng(0).normal(128, 40, (150, 200, 3))
    return Image.fromarray(np.uint8(np.clip(values, 0, 255))).convert(mode)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("PNG", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1")),
        *(("BMP", mode) for mode in ("RGB", "RGBA", "L", "P", "1")),
        *(("WEBP", mode) for mode in ("RGB", "RGBA")),
        ("GIF", "P"),
    ],
)
def test_every_kind_of_picture_becomes_the_pixels_that_pillow_sees(kind, mode):
    data = encode(noise(mode), kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert images.inspect(data) == (200, 150)
    with Image.open(io.BytesIO(data)) as picture:
        expected = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(images.decode(tf.constant(images.for_tensorflow(data))), expected)


def test_a_bmp_with_masks_of_its_own_has_the_right_colours(picture):
    data = bytearray(encode(picture.convert("RGBA"), "BMP"))
    red, green, blue = 0xFF, 0xFF00, 0xFF0000  # as ABGR, which TensorFlow takes for ARGB
    header = b"".join(each.to_bytes(4, "little") for each in (red, green, blue, 0xFF000000))
    body = bytes(data[54:])
    bitmap = data[:14] + (56).to_bytes(4, "little") + data[18:30] + (3).to_bytes(4, "little") + data[34:54] + header
    bitmap[10:14] = len(bitmap).to_bytes(4, "little")
    whole = bytes(bitmap) + body
    with Image.open(io.BytesIO(whole)) as opened:
        expected = np.asarray(opened.convert("RGB"))
    np.testing.assert_array_equal(images.decode(tf.constant(images.for_tensorflow(whole))), expected)
    assert not np.array_equal(expected, np.asarray(picture))
    with pytest.raises(tf.errors.InvalidArgumentError):
        images.decode_within_bounds(tf.constant(whole), 16)


@pytest.mark.parametrize(
    ("kind", "mode", "taken"),
    [
        *((kind, mode, True) for kind, mode in (("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "RGBA"), ("GIF", "P"))),
        *(("BMP", mode, True) for mode in ("RGB", "RGBA", "L")),
        *(("BMP", mode, False) for mode in ("P", "1")),
    ],
)
def test_the_served_model_sees_the_extractors_pixels_or_refuses(kind, mode, taken):
    data = encode(noise(mode), kind)
    expected = images.decode_and_resize(tf.constant(images.for_tensorflow(data)), 16)
    if taken:
        np.testing.assert_array_equal(images.decode_within_bounds(tf.constant(data), 16), expected)
    else:
        with pytest.raises(tf.errors.InvalidArgumentError):
            images.decode_within_bounds(tf.constant(data), 16)


def test_sixteen_bits_become_eight():
    grey = np.arange(150 * 200, dtype=np.uint16).reshape(150, 200) * 2
    data = encode(Image.fromarray(grey), "PNG")
    np.testing.assert_array_equal(images.decode(tf.constant(images.for_tensorflow(data)))[..., 0], grey >> 8)


def test_the_rotation_in_exif_is_not_looked_at(picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    data = encode(picture, exif=exif)
    assert images.inspect(data) == picture.size
    np.testing.assert_array_equal(images.decode(tf.constant(data)), images.decode(tf.constant(encode(picture))))


def test_an_animated_webp_is_its_first_frame(picture):
    frames = [picture, Image.new("RGB", picture.size, "white")]
    data = encode(frames[0], "WEBP", lossless=True, save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(images.decode(tf.constant(images.for_tensorflow(data))), np.asarray(picture))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_what_tensorflow_decodes_stays_as_it_is(picture, kind):
    data = encode(picture, kind)
    assert images.for_tensorflow(data) is data


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_no_broken_picture_crashes_a_worker_or_gets_past_the_door(kind):
    """What the ingest takes, the extractor can decode; what is cut off is not taken."""
    whole = encode(noise(), kind)
    rng = np.random.default_rng(1)
    cut = [whole[:end] for end in range(0, len(whole) - 2, 500)]
    flipped = []
    for _ in range(60):
        data = bytearray(whole)
        for position in rng.integers(len(data), size=rng.integers(1, 9)):
            data[position] ^= int(rng.integers(1, 256))
        flipped.append(bytes(data))
    for data in cut:
        assert fault_of(data) in (PictureFault.TRUNCATED, PictureFault.UNDECODABLE)
    for data in flipped:
        try:
            width, height = images.inspect(data)
        except PictureError:
            continue
        assert images.decode(tf.constant(images.for_tensorflow(data))).shape == (height, width, 3)


def test_several_are_inspected_at_once_each_for_itself(picture):
    whole, cut = encode(picture), encode(noise())[:5000]
    sizes = images.inspect_all([whole, cut, b"no picture", encode(picture, "WEBP"), encode(noise(), "BMP")])
    assert (sizes[0], sizes[3], sizes[4]) == ((40, 30), (40, 30), (200, 150))
    assert [sizes[place].fault for place in (1, 2)] == [PictureFault.TRUNCATED, PictureFault.UNDECODABLE]
    assert images.inspect_all([]) == []


def test_inspect_bounds_bytes_pixels_and_sides(picture, monkeypatch):
    assert fault_of(encode(picture.resize((7, 30)))) == PictureFault.TOO_SMALL
    monkeypatch.setattr(images, "MAX_PIXELS", 40 * 30 - 1)
    assert fault_of(encode(picture)) == PictureFault.TOO_LARGE
    monkeypatch.setattr(images, "MAX_BYTES", 100)
    assert fault_of(bytes(101)) == PictureFault.TOO_LARGE


def test_a_side_is_bounded_as_in_the_schema():
    assert images.inspect(encode(Image.new("1", (65_535, 8)), "PNG")) == (65_535, 8)
    assert fault_of(encode(Image.new("1", (65_536, 8)), "PNG")) == PictureFault.TOO_LARGE


class Spent(images.PixelBudget):
    """Notes what is asked for."""

    def __init__(self):
        super().__init__(1000)
        self.asked: list[int] = []

    def spend(self, pixels):
        self.asked.append(pixels)
        return super().spend(pixels)


def test_what_is_decoded_at_a_time_is_bounded_by_its_pixels(picture, monkeypatch):
    budget = Spent()
    monkeypatch.setattr(images, "_budget", budget)
    monkeypatch.setattr(images, "BATCH_PIXELS", 3 * 1200)
    kinds = ["JPEG"] * 4 + ["WEBP", "BMP", "GIF"]
    assert images.inspect_all([encode(picture, kind) for kind in kinds]) == [(40, 30)] * 7
    assert budget.asked == [3 * 1200, 1200, 3 * 1200, 3 * 1200, 1200]  # WebP and BMP weigh three times as much
    budget.asked.clear()
    data = gif((16, 16), (20, 30))
    images.inspect(data)
    assert budget.asked == [16 * 16 + 20 * 30]
    budget.asked.clear()
    sizes = images.inspect_all([encode(picture), encode(picture)[:-40]])  # each for itself, after the call is over
    assert sizes[0] == (40, 30) and sizes[1].fault == PictureFault.TRUNCATED
    assert budget.asked == [2400, 1200, 1200]
    with budget.spend(1000):  # nothing is left behind
        pass


def test_threads_wait_for_pixels_and_a_large_picture_is_alone():
    budget, held, most = images.PixelBudget(100), 0, []
    lock = threading.Lock()

    def work(pixels):
        nonlocal held
        with budget.spend(pixels):
            with lock:
                held += pixels
                most.append(held)
            with lock:
                held -= pixels

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [60, 30, 20, 300, 50] * 40))
    assert len(most) == 200
    assert max(each for each in most if each != 300) <= 100


def test_the_header_is_looked_at_once(picture, monkeypatch):
    checked, real = [], images._check_header
    monkeypatch.setattr(images, "_check_header", lambda data: checked.append(data) or real(data))
    pictures = [encode(picture, kind) for kind in ("JPEG", "BMP", "WEBP")]
    images.inspect_all(pictures)
    assert checked == pictures


def bitmap(header: bytes, palette: bytes, rows: bytes) -> bytes:
    """A BMP of some header, palette and rows of pixels."""
    start = 14 + len(header) + len(palette)
    whole = b"BM" + (start + len(rows)).to_bytes(4, "little") + bytes(4) + start.to_bytes(4, "little")
    return whole + header + palette + rows


def little(*values: int, size: int) -> bytes:
    return b"".join(value.to_bytes(size, "little") for value in values)


def info(bits: int, compression: int, colours: int, masks: bytes = b"") -> bytes:
    """BITMAPINFOHEADER of 8 x 8 pixels."""
    return little(40, 8, 8, size=4) + little(1, bits, size=2) + little(compression, 0, 1, 1, colours, 0, size=4) + masks


RED, GREEN = (255, 0, 0), (0, 255, 0)
BITMAPS = {  # each red above and green below; rows go upwards
    "16 bits, 5-5-5": bitmap(info(16, 0, 0), b"", little(*[0x03E0] * 32, *[0x7C00] * 32, size=2)),
    "16 bits, 5-6-5": bitmap(
        info(16, 3, 0, little(0xF800, 0x07E0, 0x001F, size=4)), b"", little(*[0x07E0] * 32, *[0xF800] * 32, size=2)
    ),
    "OS/2": bitmap(
        little(12, size=4) + little(8, 8, 1, 8, size=2), bytes([0, 255, 0, 0, 0, 255]), bytes([0] * 32 + [1] * 32)
    ),
    "8 bits, run lengths": bitmap(
        info(8, 1, 2), bytes([0, 255, 0, 0, 0, 0, 255, 0]), bytes([8, 0, 0, 0] * 4 + [8, 1, 0, 0] * 4 + [0, 1])
    ),
    "4 bits, run lengths": bitmap(
        info(4, 2, 2), bytes([0, 255, 0, 0, 0, 0, 255, 0]), bytes([8, 0, 0, 0] * 4 + [8, 0x11, 0, 0] * 4 + [0, 1])
    ),
}


@pytest.mark.parametrize("kind", BITMAPS)
def test_old_kinds_of_bmp_have_the_right_colours(kind):
    data = BITMAPS[kind]
    assert images.inspect(data) == (8, 8)
    pixels = images.decode(tf.constant(images.for_tensorflow(data))).numpy()
    assert [tuple(pixels[row, 3]) for row in (0, 3, 4, 7)] == [RED, RED, GREEN, GREEN]


def test_a_bomb_is_refused_by_its_header_alone(picture, monkeypatch):
    monkeypatch.setattr(images, "decode", lambda encoded: pytest.fail("decoded"))
    bomb = bytearray(encode(picture, "BMP"))
    bomb[18:26] = (60_000).to_bytes(4, "little") * 2  # the size that the header announces
    assert fault_of(bytes(bomb)) == PictureFault.TOO_LARGE


def gif(*sizes: tuple[int, int], extensions: bool = False) -> bytes:
    """An animation of frames of these sizes, each with a colour table of its own."""
    header, body = b"GIF89a" + (16).to_bytes(2, "little") * 2 + bytes(3), b""  # 16 x 16, no global colour table
    for size in sizes:
        alone = encode(Image.radial_gradient("L").resize(size), "GIF")
        table_end = 13 + (3 << (alone[10] % 8 + 1))
        start = alone.index(b",", table_end)
        descriptor = alone[start : start + 9] + alone[10:11]  # the flags: its global table becomes a local one
        body += b"!\xfe\x05a,b;c\x03,,,\x00" if extensions else b""
        body += descriptor + alone[13:table_end] + alone[start + 10 : -1]
    return header + body + b";"


def test_all_frames_of_a_gif_are_bounded_by_their_descriptors(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 16 * 16 + 20 * 30)
    for extensions in (False, True):
        data = gif((16, 16), (20, 30), extensions=extensions)
        assert images.inspect(data) == (20, 30)  # TensorFlow's own answer, so that the walk found what it finds
    monkeypatch.setattr(images, "decode", lambda encoded: pytest.fail("decoded"))
    assert fault_of(gif((16, 16), (20, 30), (1, 1))) == PictureFault.TOO_LARGE
    assert fault_of(gif((16, 16), (20, 30), (1, 1), extensions=True)) == PictureFault.TOO_LARGE
    assert fault_of(gif((16, 16), (60, 1), (1, 60))) == PictureFault.TOO_LARGE  # as wide as one, as high as the other


def test_a_gif_bomb_behind_a_small_first_frame_is_refused(picture, monkeypatch):
    monkeypatch.setattr(images, "decode", lambda encoded: pytest.fail("decoded"))
    bomb = bytearray(gif((16, 16), (16, 16)))
    second = bomb.rindex(b"," + bytes(4) + (16).to_bytes(2, "little") * 2)
    bomb[second + 5 : second + 9] = (9_000).to_bytes(2, "little") * 2
    assert fault_of(bytes(bomb)) == PictureFault.TOO_LARGE


@pytest.mark.parametrize("sizes", [[(16, 16)], [(16, 16), (300, 400)], [(1, 60), (60, 1)], [(99, 3)] * 5, []])
@pytest.mark.parametrize("extensions", [False, True])
def test_the_served_model_counts_the_same_frames(sizes, extensions):
    data = gif(*sizes, extensions=extensions)
    assert images._framed(tf.constant(data)) == images._check_frames(data)
    assert images._framed(tf.constant(data[:-1] + b"?")) == images._check_frames(data)


def test_the_served_model_refuses_a_gif_bomb_undecoded(monkeypatch):
    bomb = gif((16, 16), (90, 90))
    assert images.decode_within_bounds(tf.constant(bomb), 16).shape == (16, 16, 3)
    monkeypatch.setattr(images, "MAX_PIXELS", 16 * 16 + 90 * 90 - 1)
    monkeypatch.setattr(images, "decode", lambda encoded: pytest.fail("decoded"))
    with pytest.raises(tf.errors.InvalidArgumentError):
        images.decode_within_bounds(tf.constant(bomb), 16)


def test_the_served_models_walk_over_a_broken_gif_ends():
    data = gif((16, 16), (20, 30), extensions=True)
    walk = tf.function(images._framed)
    for end in range(len(data)):
        assert walk(tf.constant(data[:end])) <= 16 * 16 + 0xFFFF * 30


def test_the_walk_over_a_broken_gif_ends_and_leaves_the_verdict_to_the_decoder():
    data = gif((16, 16), (20, 30), extensions=True)
    assert [len(list(images._gif_frames(data[:end]))) for end in (13, 14, 40, len(data) - 1)] == [0, 0, 1, 2]
    assert fault_of(data[:40]) in (PictureFault.TRUNCATED, PictureFault.UNDECODABLE)
    assert list(images._gif_frames(data[:13] + b"?" + data[13:])) == []
    for end in range(len(data)):
        assert len(list(images._gif_frames(data[:end]))) <= 2
