import io

import numpy as np
import pytest
from PIL import Image

from components import scenes


def test_a_scene_depends_on_seed_and_index_alone():
    assert scenes.jpeg(7, 3) == scenes.jpeg(7, 3)
    assert scenes.jpeg(7, 3) != scenes.jpeg(7, 4)
    assert scenes.jpeg(7, 3) != scenes.jpeg(8, 3)
    assert scenes.sentences(7, 3) == scenes.sentences(7, 3)


def test_a_scene_is_a_jpeg_for_inception():
    picture = Image.open(io.BytesIO(scenes.jpeg(7, 0)))
    assert (picture.format, picture.size, picture.mode) == ("JPEG", (299, 299), "RGB")


@pytest.mark.parametrize("index", range(20))
def test_the_sentences_are_true_and_differ(index):
    what = scenes.scene(7, index)
    sentences = scenes.sentences(7, index)
    assert len(set(sentences)) == 5
    for sentence in sentences:
        words = sentence.lower().split()
        assert {what.ground, what.size, what.colour, what.place} <= set(words)
        assert (what.shape if what.count == 1 else f"{what.shape}s") in words
        assert scenes.COUNTS[what.count] in words or what.count == 1


@pytest.mark.parametrize("index", range(20))
def test_the_picture_shows_what_is_said(index):
    what = scenes.scene(7, index)
    pixels = np.asarray(scenes.draw(7, index), int)
    assert np.abs(pixels[2, 2] - scenes.GROUNDS[what.ground]).max() <= 8
    x, y = scenes.PLACES[what.place]
    if what.count != 2:  # two stand beside the place, one and three on it
        assert np.abs(pixels[y, x] - scenes.COLOURS[what.colour]).max() <= 8
    shapes = np.abs(pixels - scenes.COLOURS[what.colour]).max(axis=2) <= 8
    filled = np.flatnonzero(shapes.any(axis=0 if what.place in ("top", "bottom") else 1))
    assert 1 + np.count_nonzero(np.diff(filled) > 1) == what.count
