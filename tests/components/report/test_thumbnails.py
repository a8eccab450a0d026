import io

import numpy as np
import pytest
from PIL import Image

from components.report.thumbnails import LEAST, SIDE, thumbnail
from tests.material import encode


@pytest.fixture
def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8))


def test_a_picture_becomes_small_and_keeps_its_form(tmp_path, picture):
    (tmp_path / "a.png").write_bytes(encode(picture.resize((400, 300)), "PNG"))
    small = Image.open(io.BytesIO(thumbnail(str(tmp_path / "a.png"), 8000)))
    assert (small.format, small.size) == ("JPEG", (SIDE, SIDE * 3 // 4))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP", "GIF"])
def test_all_kinds_are_read(tmp_path, picture, kind):
    (tmp_path / "a").write_bytes(encode(picture, kind))
    assert Image.open(io.BytesIO(thumbnail(str(tmp_path / "a"), 8000))).size == picture.size


def test_even_noise_keeps_to_the_bound(tmp_path, noise):
    (tmp_path / "a.png").write_bytes(encode(noise, "PNG"))
    small = thumbnail(str(tmp_path / "a.png"), 8000)
    assert len(small) <= 8000
    assert max(Image.open(io.BytesIO(small)).size) in (LEAST, SIDE)


def test_what_is_gone_or_no_picture_has_none(tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "text.webp").write_bytes(b"RIFFxxxxWEBP")
    for name in ("gone.jpg", "text.jpg", "text.webp"):
        assert thumbnail(str(tmp_path / name), 8000) is None
