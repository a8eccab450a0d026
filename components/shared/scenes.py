"""Synthetic images of simple scenes with true captions: the built-in sample, and what calibrates random weights.

A scene is a group of equal shapes on a plain background. Scene `index` of a seed does not depend on the others. A
changed pixel changes the features of backbones with random weights: see
`components.feature_extractor.identity.FEATURE_VERSION`.
"""

import dataclasses
import io
import math
import random

from PIL import Image, ImageDraw

SIZE = 299  # pixels, InceptionV3's input size
COLORS = {
    "red": (214, 39, 40),
    "green": (44, 140, 44),
    "blue": (31, 80, 200),
    "yellow": (240, 215, 40),
}
BACKGROUNDS = {"white": (245, 245, 245), "black": (20, 20, 20), "gray": (128, 128, 128)}
SHAPES = ("circle", "star", "bar")
SIZES = {"small": 22, "large": 44}  # radius in pixels
PLACES = {"left": (80, 150), "right": (219, 150), "top": (150, 80), "bottom": (150, 219)}
STEP = 95  # pixels from one shape to the next
COUNTS = {1: "one", 2: "two", 3: "three"}


@dataclasses.dataclass(frozen=True)
class Scene:
    """What an image shows; the words are keys of the tables above."""

    background: str
    count: int
    size: str
    color: str
    shape: str
    place: str


def scene(seed: int, index: int) -> Scene:
    """Returns scene number `index` of a seed."""
    rng = random.Random(f"{seed}/{index}/what")
    return Scene(
        background=rng.choice(list(BACKGROUNDS)),
        count=rng.choice(list(COUNTS)),
        size=rng.choice(list(SIZES)),
        color=rng.choice(list(COLORS)),
        shape=rng.choice(SHAPES),
        place=rng.choice(list(PLACES)),
    )


def draw(seed: int, index: int) -> Image.Image:
    """Draws a scene: an RGB image of SIZE x SIZE."""
    content, rng = scene(seed, index), random.Random(f"{seed}/{index}/how")
    radius = SIZES[content.size] * rng.uniform(0.96, 1.04)
    image = Image.new("RGB", (SIZE, SIZE), _shade(BACKGROUNDS[content.background], rng))
    canvas = ImageDraw.Draw(image)
    for x, y in _centers(content, rng):
        canvas.polygon(_outline(content.shape, x, y, radius), fill=_shade(COLORS[content.color], rng))
    return image


def jpeg(seed: int, index: int) -> bytes:
    """Draws a scene as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    draw(seed, index).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def sentences(seed: int, index: int) -> list[str]:
    """Writes five true captions of a scene, each in a form of its own.

    >>> sentences(7, 0)[0]
    'Two large red circles on the left of a white background .'
    """
    content = scene(seed, index)
    is_plural = content.count > 1
    noun = f"{content.size} {content.color} {content.shape}{'s' if is_plural else ''}"
    shapes = f"{COUNTS[content.count]} {noun}" if is_plural else f"a {noun}"
    place = f"{_PREPOSITIONS[content.place]} the {content.place}"
    verb = "are" if is_plural else "is"
    background = f"a {content.background} background"
    forms = [
        f"{shapes} {place} of {background} .",
        f"there {verb} {shapes} {place} against {background} .",
        f"{background} with {shapes} {place} .",
        f"{shapes} {verb} shown {place} against {background} .",
        f"the image shows {shapes} {place} of {background} .",
        f"{place} of {background} {verb} {shapes} .",
        f"a drawing of {shapes} {place} of a {content.background} canvas .",
    ]
    chosen = random.Random(f"{seed}/{index}/words").sample(forms, 5)
    return [form[0].upper() + form[1:] for form in chosen]


def chinese_sentences(seed: int, index: int) -> list[str]:
    """Writes five true captions of a scene in Chinese, each in a form of its own.

    >>> chinese_sentences(7, 0)[0]
    '黑色背景的左边有一个绿色的大圆形。'
    """
    content = scene(seed, index)
    measure_word, noun = _SHAPES_ZH[content.shape]
    count, size, color = _COUNTS_ZH[content.count], _SIZES_ZH[content.size], _COLORS_ZH[content.color]
    shapes = f"{count}{measure_word}{color}的{size}{noun}"
    place, background = _PLACES_ZH[content.place], _COLORS_ZH[content.background]
    forms = [
        f"{shapes}在{background}背景的{place}。",
        f"{background}背景上有{shapes}，在{place}。",
        f"{background}背景的{place}有{shapes}。",
        f"{shapes}出现在{background}背景的{place}。",
        f"图中显示了{background}背景{place}的{shapes}。",
        f"在{background}背景的{place}是{shapes}。",
        f"画的是{background}画布{place}的{shapes}。",
    ]
    return random.Random(f"{seed}/{index}/words").sample(forms, 5)


SENTENCES = {"en": sentences, "zh": chinese_sentences}  # language -> what writes the captions of a scene

_PREPOSITIONS = {"left": "on", "right": "on", "top": "at", "bottom": "at"}
_COUNTS_ZH = {1: "一", 2: "两", 3: "三"}
_SIZES_ZH = {"small": "小", "large": "大"}
_COLORS_ZH = {
    "red": "红色", "green": "绿色", "blue": "蓝色", "yellow": "黄色", "white": "白色", "black": "黑色", "gray": "灰色",
}  # fmt: skip
_SHAPES_ZH = {"circle": ("个", "圆形"), "star": ("颗", "星星"), "bar": ("根", "长条")}  # with their measure words
_PLACES_ZH = {"left": "左边", "right": "右边", "top": "上方", "bottom": "下方"}


def _shade(color: tuple[int, int, int], rng: random.Random) -> tuple[int, ...]:
    """Makes a color a little lighter or darker."""
    return tuple(max(0, min(255, channel + rng.randint(-8, 8))) for channel in color)


def _centers(content: Scene, rng: random.Random) -> list[tuple[float, float]]:
    """Places the shapes in a row or a column around their place, without touching."""
    x, y = (middle + rng.uniform(-4, 4) for middle in PLACES[content.place])
    offsets = [(number - (content.count - 1) / 2) * STEP for number in range(content.count)]
    if content.place in ("left", "right"):
        return [(x, y + offset) for offset in offsets]
    return [(x + offset, y) for offset in offsets]


def _outline(shape: str, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """Returns the corners of a shape around (x, y)."""
    if shape == "bar":
        corners = [(-0.2, -1.0), (0.2, -1.0), (0.2, 1.0), (-0.2, 1.0)]
    else:
        num_corners, inner = {"circle": (48, 1.0), "star": (10, 0.42)}[shape]
        radii = [inner if corner % 2 else 1.0 for corner in range(num_corners)]
        angles = [2 * math.pi * corner / num_corners for corner in range(num_corners)]
        corners = [(r * math.sin(a), -r * math.cos(a)) for r, a in zip(radii, angles, strict=True)]
    return [(x + radius * across, y + radius * down) for across, down in corners]
