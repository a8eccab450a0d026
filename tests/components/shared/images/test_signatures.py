"""What a file is by its first bytes."""

import io

import pytest
from PIL import Image

from components.shared.images.headers import check_header
from components.shared.images.limits import FORMATS, ImageError, ImageFault
from components.shared.images.signatures import is_converted, is_cut, lookalike
from tests.factories import encode

FTYP = b"\0\0\0\x18ftyp"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "an empty file"),
        (bytes(5000), "nothing but zero bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a Git LFS pointer"),
        (b"\r\n  <!DOCTYPE HTML PUBLIC>", "an HTML page"),
        (b"<!-- 404 --><html><body>Not found", "an HTML page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "an SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- made by hand -->\n<!DOCTYPE svg PUBLIC ''>", "an SVG"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "an XML document"),
        (b'{"error": "rate limit"}', "a JSON document"),
        (b"L\0\0\0\x01\x14\x02\0\0\0\0\0", "a Windows shortcut"),
        (b"\0\x05\x16\x07\0\x02", "macOS's notes on a file"),
        (b"PK\x03\x04\x14", "an archive"),
        (b"%PDF-1.4", "a PDF document"),
        (FTYP + b"heic\0\0\0\0mif1heic", "HEIC, which is not read"),
        (FTYP + b"mp42", ""),
        (b"a dog runs", ""),
    ],
)
def test_what_is_no_image_is_called_what_it_is(data, kind):
    named = lookalike(data)
    assert named.startswith(kind) if kind else not named


@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_is_called_nothing_else(kind):
    data = encode(Image.radial_gradient("L").convert("RGB"), kind)
    assert lookalike(data) == "" and not is_cut(data)
    assert is_converted(data) == (kind not in ("JPEG", "PNG", "GIF"))


@pytest.mark.parametrize("big_tiff", [False, True])
def test_a_tiff_without_its_directory_is_cut(big_tiff):
    data = encode(Image.radial_gradient("L"), "TIFF", compression="tiff_lzw", big_tiff=big_tiff)
    assert is_cut(data[:100]) and not is_cut(data)


@pytest.mark.parametrize(("kind", "ends"), [("JPEG", range(4, 150)), ("PNG", range(8, 33)), ("GIF", range(6, 13))])
def test_a_file_that_ends_in_its_header_is_cut(kind, ends):
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, kind)
    data = file.getvalue()
    assert not is_cut(data)
    for end in ends:
        assert is_cut(data[:end])
        with pytest.raises(ImageError, match="the file ends before what its header declares") as error:
            check_header(data[:end])
        assert error.value.fault is ImageFault.TRUNCATED


@pytest.mark.parametrize("data", [b"\xff\xd8\xff\xe0\0\x02no marker", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xda\0\x02"])
def test_a_damaged_jpeg_is_not_cut(data):
    assert not is_cut(data)


def test_boxes_and_codestreams_that_do_not_end_are_cut():
    image = Image.radial_gradient("L").convert("RGB")
    for data in (encode(image, "AVIF"), encode(image, "JPEG2000"), encode(image, "JPEG2000", no_jp2=True)):
        assert is_cut(data[:-1]) and not is_cut(data)
