"""Learning curves, from TensorBoard's logs to lines in a chart."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

POINTS = 200  # of a curve at most
WIDTH, HEIGHT, LEFT, BOTTOM = 420, 220, 48, 24  # of a chart, in SVG units; the margins hold the numbers


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve of a chart.

    Attributes:
      name: what it is of: "train".
      points: for an SVG polyline.
      last: its last value.
    """

    name: str
    points: str
    last: float


@dataclasses.dataclass(frozen=True)
class Chart:
    """One figure over the epochs or steps.

    Attributes:
      title: the figure's name.
      lines: its curves.
      low: the least value, at the bottom.
      high: the greatest.
      first: the first epoch or step, at the left.
      final: the last.
    """

    title: str
    lines: Sequence[Line]
    low: float
    high: float
    first: int
    final: int


Scalars = dict[str, dict[str, list[tuple[int, float]]]]  # tag -> name of the log -> [(step, value)]


def read(directories: Mapping[str, str]) -> Scalars:
    """Reads the scalars of all logs below some directories.

    Args:
      directories: name of a model -> its logs; the lines are called "attention train", just "train" without a name.

    Returns:
      the values in the order of steps; tags with one point alone are left out.
    """
    found: Scalars = {}
    for name, directory in directories.items():
        for tag, logs in _below(directory).items():
            found.setdefault(tag, {}).update({f"{name} {log}".strip(): points for log, points in logs.items()})
    return found


def _below(directory: str) -> Scalars:
    """All logs below one directory."""
    found: Scalars = {}
    for folder, _, names in sorted(tf.io.gfile.walk(directory)):
        if not any("tfevents" in name for name in names):
            continue
        log = event_accumulator.EventAccumulator(folder, size_guidance={event_accumulator.TENSORS: 0}).Reload()
        parts = os.path.relpath(folder, directory).split(os.sep)
        label = "/".join(part for part in parts if part != "logs") or "run"
        for tag in log.Tags()["tensors"]:
            values = [(event.step, tf.make_ndarray(event.tensor_proto)) for event in log.Tensors(tag)]
            numbers = sorted((step, float(value)) for step, value in values if _is_number(value))
            if len(numbers) > 1:
                found.setdefault(tag, {})[label] = numbers
    return found


def charts(scalars: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]) -> list[Chart]:
    """Draws one chart a tag: those over epochs, or all where there are none."""
    over_epochs = [tag for tag in scalars if tag.startswith("epoch_")]
    return [_chart(tag, scalars[tag]) for tag in sorted(over_epochs or scalars)]


def _chart(tag: str, logs: Mapping[str, Sequence[tuple[int, float]]]) -> Chart:
    steps = np.array([step for points in logs.values() for step, _ in points])
    values = np.array([value for points in logs.values() for _, value in points])
    first, final, low, high = int(steps.min()), int(steps.max()), values.min(), values.max()
    wide, tall = WIDTH - LEFT - 8, HEIGHT - BOTTOM - 8

    def line(name: str, points: Sequence[tuple[int, float]]) -> Line:
        kept = [points[row] for row in np.unique(np.linspace(0, len(points) - 1, POINTS).round().astype(int))]
        places = [
            f"{LEFT + wide * (step - first) / max(final - first, 1):.1f},"
            f"{8 + tall * (high - value) / max(high - low, 1e-12):.1f}"
            for step, value in kept
        ]
        return Line(name, " ".join(places), points[-1][1])

    title = tag.removeprefix("epoch_").replace("_", " ")
    return Chart(title, [line(name, points) for name, points in logs.items()], float(low), float(high), first, final)


def _is_number(value: np.ndarray) -> bool:
    return value.ndim == 0 and np.issubdtype(value.dtype, np.floating) and bool(np.isfinite(value))
