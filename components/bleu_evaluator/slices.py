"""Parts of the test split that are measured alone."""

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from components.bleu_evaluator.tokenization import tokenize

CAPTION_LENGTH = "caption_length"  # mean words of a picture's references, rounded
FEW = 6  # different numbers that are told one by one; more are cut into parts of about the same size
PARTS = 4
MOST = 10  # different texts that are told one by one, the commonest; the others are one part

Record = Mapping[str, Sequence[int | float | str]]  # a field of the example -> its values


def cut(field: str, records: Sequence[Record], references: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """Cuts the pictures into slices by a field.

    A field of several numbers counts by their mean, one of several texts by how many they are.

    Args:
      field: of the records, or "caption_length".
      records: one a picture.
      references: of each picture.

    Returns:
      the slice's name -> rows of its pictures; pictures that lack the field, or have no number in it, are in none.

    Raises:
      ValueError: no record has the field.
    """
    if field == CAPTION_LENGTH:
        values: list = [round(np.mean([len(tokenize(text)) for text in texts])) for texts in references]
    else:
        values = [_value(record.get(field, ())) for record in records]
    rows = [row for row, value in enumerate(values) if value is not None]
    if not rows:
        known = sorted({name for record in records for name in record} | {CAPTION_LENGTH})
        raise ValueError(f"evaluator.slices: no picture has a field {field}; there are {', '.join(known)}")
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
    common = [value for value, _ in collections.Counter(values).most_common(MOST)]
    labels = np.array([value if value in common else "others" for value in values])
    return {label: rows[labels == label] for label in [*common, "others"] if (labels == label).any()}


def _by_number(values: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    different = np.unique(values)
    if len(different) > FEW:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, PARTS + 1)[1:-1]))
        part = np.searchsorted(edges, values)  # a value that is an edge belongs to the part below it
    else:
        part = np.searchsorted(different, values)
    slices: dict[str, np.ndarray] = {}
    for number in np.unique(part):
        within = values[part == number]
        least, most = _told(within.min()), _told(within.max())
        label = least if least == most else f"{least} to {most}"
        # fractions that are told alike are one slice
        slices[label] = np.union1d(slices.get(label, rows[:0]), rows[part == number])
    return slices


def _told(value: float) -> str:
    """A number for people; a whole one in full, as a year or an id is."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:g}"
