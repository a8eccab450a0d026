"""Drawn scenes and true sentences about them: the built-in sample, and the pictures that random weights are set on.

A scene is a group of equal shapes on a plain ground. Scene `index` of a seed is the same whatever else is drawn.
"""

import dataclasses
import io
import math
import random

from PIL import Image, ImageDraw

SIZE = 299  # pixels, InceptionV3's own
COLOURS = {
    "red": (214, 39, 40),
    "green": (44, 140, 44),
    "blue": (31, 80, 200),
    "yellow": (240, 215, 40),
}
GROUNDS = {"white": (245, 245, 245), "black": (20, 20, 20), "grey": (128, 128, 128)}
SHAPES = ("circle", "star", "bar")
SIZES = {"small": 22, "large": 44}  # radius in pixels
PLACES = {"left": (80, 150), "right": (219, 150), "top": (150, 80), "bottom": (150, 219)}
STEP = 95  # pixels from one shape to the next
COUNTS = {1: "one", 2: "two", 3: "three"}


@dataclasses.dataclass(frozen=True)
class Scene:
    """What is to be seen: the words are keys of the tables above."""

    ground: str
    count: int
    size: str
    colour: str
    shape: str
    place: str


def scene(seed: int, index: int) -> Scene:
    """The scene number `index` of a seed."""
    rng = random.Random(f"{seed}/{index}/what")
    return Scene(
        ground=rng.choice(list(GROUNDS)),
        count=rng.choice(list(COUNTS)),
        size=rng.choice(list(SIZES)),
        colour=rng.choice(list(COLOURS)),
        shape=rng.choice(SHAPES),
        place=rng.choice(list(PLACES)),
    )


def draw(seed: int, index: int) -> Image.Image:
    """Draws a scene: an RGB picture of SIZE x SIZE."""
    what, rng = scene(seed, index), random.Random(f"{seed}/{index}/how")
    radius = SIZES[what.size] * rng.uniform(0.96, 1.04)
    picture = Image.new("RGB", (SIZE, SIZE), _shade(GROUNDS[what.ground], rng))
    brush = ImageDraw.Draw(picture)
    for x, y in _centres(what, rng):
        brush.polygon(_outline(what.shape, x, y, radius), fill=_shade(COLOURS[what.colour], rng))
    return picture


def jpeg(seed: int, index: int) -> bytes:
    """A drawn scene as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    draw(seed, index).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def sentences(seed: int, index: int) -> list[str]:
    """Five true sentences about a scene, each in other words.

    >>> sentences(7, 0)[0]
    'Two large red circles on the left of a white background .'
    """
    what = scene(seed, index)
    many = what.count > 1
    thing = f"{what.size} {what.colour} {what.shape}{'s' if many else ''}"
    things = f"{COUNTS[what.count]} {thing}" if many else f"a {thing}"
    where = f"{_AT[what.place]} the {what.place}"
    verb = "are" if many else "is"
    forms = [
        f"{things} {where} of a {what.ground} background .",
        f"there {verb} {things} {where} of the {what.ground} picture .",
        f"a {what.ground} picture with {things} {where} .",
        f"{things} {verb} drawn {where} on a {what.ground} ground .",
        f"the {what.ground} scene shows {things} {where} .",
        f"{where} of a {what.ground} background {verb} {things} .",
        f"someone drew {things} {where} of a {what.ground} sheet .",
    ]
    chosen = random.Random(f"{seed}/{index}/words").sample(forms, 5)
    return [form[0].upper() + form[1:] for form in chosen]


_AT = {"left": "on", "right": "on", "top": "at", "bottom": "at"}


def _shade(colour: tuple[int, int, int], rng: random.Random) -> tuple[int, ...]:
    """The colour, a little lighter or darker."""
    return tuple(max(0, min(255, channel + rng.randint(-8, 8))) for channel in colour)


def _centres(what: Scene, rng: random.Random) -> list[tuple[float, float]]:
    """Where the shapes go: in a row or a column around the place, without touching."""
    x, y = (middle + rng.uniform(-4, 4) for middle in PLACES[what.place])
    offsets = [(number - (what.count - 1) / 2) * STEP for number in range(what.count)]
    if what.place in ("left", "right"):
        return [(x, y + offset) for offset in offsets]
    return [(x + offset, y) for offset in offsets]


def _outline(shape: str, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """The corners of a shape around (x, y)."""
    if shape == "bar":
        corners = [(-0.2, -1.0), (0.2, -1.0), (0.2, 1.0), (-0.2, 1.0)]
    else:
        number, inner = {"circle": (48, 1.0), "star": (10, 0.42)}[shape]
        reaches = [inner if corner % 2 else 1.0 for corner in range(number)]
        angles = [2 * math.pi * corner / number for corner in range(number)]
        corners = [(r * math.sin(a), -r * math.cos(a)) for r, a in zip(reaches, angles, strict=True)]
    return [(x + radius * across, y + radius * down) for across, down in corners]
