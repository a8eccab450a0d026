"""Slices: parts of the test split whose metrics are computed separately."""

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from components.shared.words import Tokenization, split_words

CAPTION_LENGTH = "caption_length"  # mean number of words of an image's references, rounded
MAX_DISTINCT = 6  # distinct numbers with a slice each; more are binned into quantiles
NUM_BINS = 4
MAX_CATEGORIES = 10  # distinct texts with a slice each, the most frequent; the others share one

Record = Mapping[str, Sequence[int | float | str]]  # a field of the example -> its values


def slice_by(
    field: str, examples: Sequence[Record], references: Sequence[Sequence[str]], tokenization: Tokenization
) -> dict[str, np.ndarray]:
    """Slices the images by a field.

    A field with several numbers counts by their mean, one with several texts by their number.

    Args:
      field: a field of the examples, or "caption_length".
      examples: the fields of each image.
      references: the references of each image.
      tokenization: what counts as a word, as in training.

    Returns:
      name of a slice -> rows of its images; images that lack the field, or have no number in it, are in none.

    Raises:
      ValueError: no example has the field.
    """
    if field == CAPTION_LENGTH:
        lengths = [[len(split_words(text, tokenization)) for text in texts] for texts in references]
        values: list = [round(np.mean(of_image)) for of_image in lengths]
    else:
        values = [_value(example.get(field, ())) for example in examples]
    rows = [row for row, value in enumerate(values) if value is not None]
    if not rows:
        field_names = sorted({name for example in examples for name in example} | {CAPTION_LENGTH})
        raise ValueError(f"evaluator.slices: no image has a field {field}; known fields: {', '.join(field_names)}")
    if any(isinstance(values[row], str) for row in rows):
        return _by_text([str(values[row]) for row in rows], np.array(rows))
    return _by_number(np.array([values[row] for row in rows]), np.array(rows))


def _value(values: Sequence[int | float | str]) -> int | float | str | None:
    if not values:
        return None
    if isinstance(values[0], str):
        return values[0] if len(values) == 1 else len(values)
    mean = np.mean([float(value) for value in values])
    return float(mean) if np.isfinite(mean) else None


def _by_text(values: list[str], rows: np.ndarray) -> dict[str, np.ndarray]:
    frequent = [value for value, _ in collections.Counter(values).most_common(MAX_CATEGORIES)]
    labels = np.array([value if value in frequent else "others" for value in values])
    return {label: rows[labels == label] for label in [*frequent, "others"] if (labels == label).any()}


def _by_number(values: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    distinct = np.unique(values)
    if len(distinct) > MAX_DISTINCT:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, NUM_BINS + 1)[1:-1]))
        bins = np.searchsorted(edges, values)  # a value that equals an edge belongs to the bin below it
    else:
        bins = np.searchsorted(distinct, values)
    slices: dict[str, np.ndarray] = {}
    for number in np.unique(bins):
        in_bin = values[bins == number]
        low, high = _format_number(in_bin.min()), _format_number(in_bin.max())
        label = low if low == high else f"{low} to {high}"
        # fractions that are formatted identically share one slice
        slices[label] = np.union1d(slices.get(label, rows[:0]), rows[bins == number])
    return slices


def _format_number(value: float) -> str:
    """Formats a number; a whole one, such as a year or an ID, in full."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:g}"
