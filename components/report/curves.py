"""Learning curves: from TensorBoard's logs to lines in a chart."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

from components.shared import storage

MAX_POINTS = 200  # per curve
# of a chart, in SVG units; the axis labels are in the margins at the left and at the bottom
WIDTH, HEIGHT, LEFT, BOTTOM, MARGIN = 420, 220, 48, 24, 8


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve of a chart.

    Attributes:
      name: the name in the legend: "train".
      points: the points of an SVG polyline.
      last: the last value.
    """

    name: str
    points: str
    last: float


@dataclasses.dataclass(frozen=True)
class Chart:
    """One metric over the epochs or steps.

    Attributes:
      title: the metric's name.
      lines: the curves.
      low: the minimum, at the bottom.
      high: the maximum, at the top.
      first: the first epoch or step, at the left.
      final: the last epoch or step, at the right.
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
      directories: name of a model -> directory of its logs; the lines are called "gru train", or "train" if the name is
        empty.

    Returns:
      the values in the order of steps, without tags that have a single point.
    """
    scalars: Scalars = {}
    for name, directory in directories.items():
        for tag, logs in _below(directory).items():
            scalars.setdefault(tag, {}).update({f"{name} {log}".strip(): points for log, points in logs.items()})
    return scalars


def _below(directory: str) -> Scalars:
    """The scalars of all logs below one directory."""
    scalars: Scalars = {}
    folders = {os.path.dirname(path) for path in storage.list_files(directory) if "tfevents" in os.path.basename(path)}
    for folder in sorted(folders):
        path = os.path.join(directory, folder)
        log = event_accumulator.EventAccumulator(path, size_guidance={event_accumulator.TENSORS: 0}).Reload()
        parts = folder.split(os.sep)
        label = "/".join(part for part in parts if part not in ("", "logs")) or "run"
        for tag in log.Tags()["tensors"]:
            values = [(event.step, tf.make_ndarray(event.tensor_proto)) for event in log.Tensors(tag)]
            numbers = sorted((step, float(value)) for step, value in values if _is_number(value))
            if len(numbers) > 1:
                scalars.setdefault(tag, {})[label] = numbers
    return scalars


def charts(scalars: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]) -> list[Chart]:
    """Draws one chart per tag: those over epochs, or all if there are none."""
    over_epochs = [tag for tag in scalars if tag.startswith("epoch_")]
    return [_chart(tag, scalars[tag]) for tag in sorted(over_epochs or scalars)]


def _chart(tag: str, logs: Mapping[str, Sequence[tuple[int, float]]]) -> Chart:
    steps = np.array([step for points in logs.values() for step, _ in points])
    values = np.array([value for points in logs.values() for _, value in points])
    first, final, low, high = int(steps.min()), int(steps.max()), values.min(), values.max()
    plot_width, plot_height = WIDTH - LEFT - MARGIN, HEIGHT - BOTTOM - MARGIN

    def line(name: str, points: Sequence[tuple[int, float]]) -> Line:
        kept = [points[row] for row in np.unique(np.linspace(0, len(points) - 1, MAX_POINTS).round().astype(int))]
        coordinates = [
            f"{LEFT + plot_width * (step - first) / max(final - first, 1):.1f},"
            f"{MARGIN + plot_height * (high - value) / max(high - low, 1e-12):.1f}"
            for step, value in kept
        ]
        return Line(name, " ".join(coordinates), points[-1][1])

    title = tag.removeprefix("epoch_").replace("_", " ")
    return Chart(title, [line(name, points) for name, points in logs.items()], float(low), float(high), first, final)


def _is_number(value: np.ndarray) -> bool:
    return value.ndim == 0 and np.issubdtype(value.dtype, np.floating) and bool(np.isfinite(value))
