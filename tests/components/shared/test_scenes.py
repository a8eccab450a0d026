import io

import numpy as np
import pytest
from PIL import Image

from components.shared import scenes
from components.shared.words import Tokenization, split_words


def test_a_scene_depends_only_on_seed_and_index():
    assert scenes.jpeg(7, 3) == scenes.jpeg(7, 3)
    assert scenes.jpeg(7, 3) != scenes.jpeg(7, 4)
    assert scenes.jpeg(7, 3) != scenes.jpeg(8, 3)
    assert scenes.sentences(7, 3) == scenes.sentences(7, 3)


def test_a_scene_is_a_jpeg_of_inceptions_input_size():
    image = Image.open(io.BytesIO(scenes.jpeg(7, 0)))
    assert (image.format, image.size, image.mode) == ("JPEG", (299, 299), "RGB")


@pytest.mark.parametrize("index", range(20))
def test_the_sentences_are_true_and_differ(index):
    content = scenes.scene(7, index)
    sentences = scenes.sentences(7, index)
    assert len(set(sentences)) == 5
    for sentence in sentences:
        words = sentence.lower().split()
        assert {content.background, content.size, content.color, content.place} <= set(words)
        assert (content.shape if content.count == 1 else f"{content.shape}s") in words
        assert scenes.COUNTS[content.count] in words or content.count == 1


CHINESE = {
    "red": "红色", "green": "绿色", "blue": "蓝色", "yellow": "黄色", "white": "白色", "black": "黑色", "gray": "灰色",
    "circle": "圆形", "star": "星星", "bar": "长条", "small": "的小", "large": "的大",
    "left": "左边", "right": "右边", "top": "上方", "bottom": "下方", 1: "一", 2: "两", 3: "三",
}  # fmt: skip


@pytest.mark.parametrize("index", range(20))
def test_the_chinese_sentences_say_the_same(index):
    content = scenes.scene(7, index)
    sentences = scenes.SENTENCES["zh"](7, index)
    assert len(set(sentences)) == 5
    for sentence in sentences:
        count = CHINESE[content.count] + {"circle": "个", "star": "颗", "bar": "根"}[content.shape]
        shapes = f"{count}{CHINESE[content.color]}{CHINESE[content.size]}{CHINESE[content.shape]}"
        assert shapes in sentence and sentence.endswith("。")
        others = sentence.replace(shapes, "")
        assert {CHINESE[content.background], CHINESE[content.place]} <= {others[i : i + 2] for i in range(len(others))}
        assert not any(CHINESE[place] in others for place in set(scenes.PLACES) - {content.place})
        assert not any(CHINESE[color] in others for color in set(scenes.BACKGROUNDS) - {content.background})


def test_the_chinese_vocabulary_is_as_small_as_the_english_one():
    sentences = [text for index in range(200) for text in scenes.chinese_sentences(7, index)]
    assert 40 <= len({word for text in sentences for word in split_words(text, Tokenization())}) <= 55
    lengths = [len(split_words(text, Tokenization())) for text in sentences]
    assert (min(lengths), max(lengths)) == (16, 20)


def test_the_vocabulary_is_small():
    words = {word for index in range(200) for text in scenes.sentences(7, index) for word in text.lower().split()}
    assert 36 <= len(words) <= 42


@pytest.mark.parametrize("index", range(20))
def test_the_image_shows_what_the_sentences_say(index):
    content = scenes.scene(7, index)
    pixels = np.asarray(scenes.draw(7, index), int)
    assert np.abs(pixels[2, 2] - scenes.BACKGROUNDS[content.background]).max() <= 8
    x, y = scenes.PLACES[content.place]
    if content.count != 2:  # two stand beside the place, one and three on it
        assert np.abs(pixels[y, x] - scenes.COLORS[content.color]).max() <= 8
    shapes = np.abs(pixels - scenes.COLORS[content.color]).max(axis=2) <= 8
    filled = np.flatnonzero(shapes.any(axis=0 if content.place in ("top", "bottom") else 1))
    assert 1 + np.count_nonzero(np.diff(filled) > 1) == content.count
