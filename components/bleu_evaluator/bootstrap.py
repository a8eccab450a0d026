"""How sure the figures are: intervals and comparisons by drawing the test pictures anew.

Efron and Tibshirani 1993 (percentile intervals); Koehn 2004, https://aclanthology.org/W04-3250 (paired, for BLEU).
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from components.bleu_evaluator.metrics import DISTINCT, Measurement

LEVEL = (2.5, 97.5)  # percentiles: 95 %
NORMAL = 1.959964  # the normal distribution's 97.5th percentile
AT_ONCE = 1 << 22  # cells of the table of draws that are held at a time: 32 MiB


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How to draw: as often as there are pictures, with replacement, the same for every model.

    Attributes:
      resamples: how many test sets are drawn.
      seed: of the draws.
    """

    resamples: int = 1000
    seed: int = 0

    def times(self, pictures: int) -> Iterator[np.ndarray]:
        """How often each picture is drawn: int64 [k, pictures] until there are `resamples` rows in all."""
        rng = np.random.default_rng(self.seed)
        chunk = max(1, AT_ONCE // pictures)
        for start in range(0, self.resamples, chunk):
            rows = min(chunk, self.resamples - start)
            yield rng.multinomial(pictures, np.full(pictures, 1 / pictures), size=rows)


def draw(measurement: Measurement, sampling: Sampling) -> dict[str, np.ndarray]:
    """The figures of the drawn test sets: metric -> float64 [resamples]."""
    parts = [measurement.figures(times) for times in sampling.times(len(measurement))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def summarize(measurement: Measurement, sampling: Sampling) -> dict[str, dict[str, float]]:
    """The figures with their intervals.

    Distinct words and captions get a normal interval by the jackknife (Heltshe and Forrester 1983), cut where the
    figure can't be: at 0, and a share at 1.

    Returns:
      metric -> {value, low, high}.
    """
    values = measurement.figures(np.ones((1, len(measurement))))
    drawn = draw(measurement, sampling)
    found = {name: _figure(values[name][0], *np.percentile(drawn[name], LEVEL)) for name in values}
    for name, (value, without_one) in measurement.counted().items():
        n = len(measurement)
        error = np.sqrt((n - 1) / n * np.sum((without_one - without_one.mean()) ** 2))
        most = 1.0 if name == DISTINCT else np.inf
        found[name] = _figure(value, max(0.0, value - NORMAL * error), min(most, value + NORMAL * error))
    return found


def compare(candidate: Measurement, other: Measurement, sampling: Sampling) -> dict[str, dict[str, float]]:
    """What a candidate gains over another model on the same pictures, drawn alike for both.

    Returns:
      metric that both have -> {value, low, high, p}, where p is the share of the drawn test sets on which it gains
      nothing: how easily the gain could be chance.
    """
    alone = np.ones((1, len(candidate)))
    ours, theirs = candidate.figures(alone), other.figures(alone)
    drawn, against = draw(candidate, sampling), draw(other, sampling)
    found = {}
    for name in (name for name in ours if name in theirs):
        gains = drawn[name] - against[name]
        p = (1 + np.count_nonzero(gains <= 0)) / (1 + len(gains))  # never 0: the test set itself is one of the draws
        gain = _figure(ours[name][0] - theirs[name][0], *np.percentile(gains, LEVEL))
        found[name] = gain | {"p": float(min(p, 1.0))}
    return found


def _figure(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": float(value), "low": float(low), "high": float(high)}
