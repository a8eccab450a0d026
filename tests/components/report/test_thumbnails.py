import io

import numpy as np
import pytest
from PIL import Image

from components.report import thumbnails
from components.report.thumbnails import MAX_SIDE, MIN_SIDE
from components.shared import storage
from components.shared.images import reading
from tests.containers import write_tar
from tests.factories import encode


def thumbnail(path: str, max_bytes: int) -> bytes | None:
    [image_file] = reading.read_many([path])
    return thumbnails.thumbnail(image_file, max_bytes)


@pytest.fixture
def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8))


def test_an_image_is_scaled_down_and_keeps_its_aspect_ratio(tmp_path, image):
    (tmp_path / "a.png").write_bytes(encode(image.resize((400, 300)), "PNG"))
    small = Image.open(io.BytesIO(thumbnail(str(tmp_path / "a.png"), 8000)))
    assert (small.format, small.size) == ("JPEG", (MAX_SIDE, MAX_SIDE * 3 // 4))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP", "GIF"])
def test_every_image_format_is_read(tmp_path, image, kind):
    (tmp_path / "a").write_bytes(encode(image, kind))
    assert Image.open(io.BytesIO(thumbnail(str(tmp_path / "a"), 8000))).size == image.size


def test_an_image_in_a_container_is_read(tmp_path, image):
    path = write_tar(tmp_path / "0.tar", [("a.png", encode(image, "PNG"))])
    assert Image.open(io.BytesIO(thumbnail(f"{path}/a.png", 8000))).size == image.size
    assert thumbnail(f"{path}/gone.png", 8000) is None


def test_noise_is_compressed_to_the_bound(tmp_path, noise):
    (tmp_path / "a.png").write_bytes(encode(noise, "PNG"))
    small = thumbnail(str(tmp_path / "a.png"), 8000)
    assert len(small) <= 8000
    assert max(Image.open(io.BytesIO(small)).size) in (MIN_SIDE, MAX_SIDE)


def test_a_missing_file_and_one_that_is_no_image_have_no_thumbnail(tmp_path):
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "text.webp").write_bytes(b"RIFFxxxxWEBP")
    for name in ("gone.jpg", "text.jpg", "text.webp"):
        assert thumbnail(str(tmp_path / name), 8000) is None


def test_a_file_that_is_there_and_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(IsADirectoryError):
        thumbnail(str(tmp_path / "a.png"), 8000)


def test_an_image_in_a_bucket_is_read(bucket, image):
    storage.write_bytes(f"{bucket}/images/a.png", encode(image, "PNG"))
    assert Image.open(io.BytesIO(thumbnail(f"{bucket}/images/a.png", 8000))).size == image.size
    assert thumbnail(f"{bucket}/images/gone.png", 8000) is None
