"""The README's image of a report."""

import io

from PIL import Image

from docs import report_image


def test_it_shows_the_maps_of_the_best_image(browser, report):
    png = report_image.take(browser, report)
    small = report_image.compress(png)
    assert len(small) < len(png)
    with Image.open(io.BytesIO(small)) as image, Image.open(io.BytesIO(png)) as original:
        assert image.mode == "P" and image.size == original.size
        assert image.width > 800 and image.height > 800
        red, _, blue = original.convert("RGB").split()
        assert max(a - b for a, b in zip(red.getdata(), blue.getdata(), strict=True)) > 50  # attention is drawn in red
