"""Drawn scenes and true sentences about them: the built-in sample data, and the pictures that random weights are set on.

A scene is one group of equal shapes on a plain ground. Scene `index` of a seed is always the same, whatever else is drawn.
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
    "purple": (130, 50, 170),
    "orange": (255, 127, 14),
}
GROUNDS = {"white": (245, 245, 245), "black": (20, 20, 20), "grey": (128, 128, 128), "pink": (250, 190, 205)}
SHAPES = ("circle", "square", "triangle", "star")
SIZES = {"small": 20, "large": 38}  # radius in pixels
PLACES = {"left": (80, 150), "right": (219, 150), "top": (150, 80), "bottom": (150, 219), "middle": (150, 150)}
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
    radius = SIZES[what.size] * rng.uniform(0.9, 1.1)
    picture = Image.new("RGB", (SIZE, SIZE), _shade(GROUNDS[what.ground], rng))
    brush = ImageDraw.Draw(picture)
    for x, y in _centres(what, radius, rng):
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
    where = f"in the {what.place}" if what.place == "middle" else f"{_AT[what.place]} the {what.place}"
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
    return tuple(max(0, min(255, channel + rng.randint(-12, 12))) for channel in colour)


def _centres(what: Scene, radius: float, rng: random.Random) -> list[tuple[float, float]]:
    """Where the shapes go: in a row or a column around the place, without touching."""
    x, y = PLACES[what.place]
    x, y = x + rng.uniform(-10, 10), y + rng.uniform(-10, 10)
    step = 2.2 * radius
    offsets = [(number - (what.count - 1) / 2) * step for number in range(what.count)]
    if what.place in ("left", "right"):
        return [(x, y + offset) for offset in offsets]
    return [(x + offset, y) for offset in offsets]


def _outline(shape: str, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """The corners of a shape around (x, y)."""
    corners = {"circle": 48, "square": 4, "triangle": 3, "star": 10}[shape]
    turn = math.pi / 4 if shape == "square" else -math.pi / 2
    outline = []
    for corner in range(corners):
        reach = radius * (0.42 if shape == "star" and corner % 2 else 1.0)
        angle = turn + 2 * math.pi * corner / corners
        outline.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    return outline
