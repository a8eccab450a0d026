"""Confidence intervals and p-values of metrics, by bootstrap resampling of the test images.

Efron and Tibshirani 1993 (percentile intervals); Koehn 2004, https://aclanthology.org/W04-3250 (paired, for BLEU).
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from components.bleu_evaluator.measurement import Measurement
from components.bleu_evaluator.metrics import NumDistinct
from components.shared.evaluations import TIE

PERCENTILES = (2.5, 97.5)  # of a 95 % interval
NORMAL_QUANTILE = 1.959964  # the normal distribution's 97.5th percentile
MAX_CELLS = 1 << 22  # of the table of draws that is held at a time: 32 MiB


@dataclasses.dataclass(frozen=True)
class BootstrapSampler:
    """Draws test sets of as many images, with replacement, the same for every model.

    Attributes:
      num_samples: the number of test sets that are drawn.
      seed: the seed of the draws.
    """

    num_samples: int
    seed: int

    def draw_counts(self, num_images: int) -> Iterator[np.ndarray]:
        """Yields how often each image is drawn: int64 [k, num_images], `num_samples` rows in all."""
        rng = np.random.default_rng(self.seed)
        chunk = max(1, MAX_CELLS // num_images)
        for start in range(0, self.num_samples, chunk):
            rows = min(chunk, self.num_samples - start)
            yield rng.multinomial(num_images, np.full(num_images, 1 / num_images), size=rows)


def resample(measurement: Measurement, sampler: BootstrapSampler) -> dict[str, np.ndarray]:
    """Computes the metrics of the resampled test sets: metric -> float64 [num_samples]."""
    chunks = [measurement.resampled(counts) for counts in sampler.draw_counts(measurement.num_images)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def summarize(measurement: Measurement, sampler: BootstrapSampler) -> dict[str, dict[str, float]]:
    """Computes the metrics with their 95 % intervals.

    Count metrics get a normal interval by the jackknife (Heltshe and Forrester 1983), clipped to possible values: at
    least 0, and a fraction at most 1.

    Returns:
      metric -> {value, low, high}.
    """
    resampled = resample(measurement, sampler)
    summary = {
        name: _interval(value, *np.percentile(resampled[name], PERCENTILES))
        for name, value in measurement.scalars().items()
    }
    fractions = [
        metric.name
        for metric in measurement.metrics
        if isinstance(metric.aggregation, NumDistinct) and metric.aggregation.as_fraction
    ]
    for name, (value, without_one) in measurement.count_metrics().items():
        n = measurement.num_images
        margin = NORMAL_QUANTILE * np.sqrt((n - 1) / n * np.sum((without_one - without_one.mean()) ** 2))
        upper_bound = 1.0 if name in fractions else np.inf
        summary[name] = _interval(value, max(0.0, value - margin), min(upper_bound, value + margin))
    in_table_order = [metric.name for metric in measurement.metrics]
    return {name: summary[name] for name in in_table_order}


def compare(candidate: Measurement, other: Measurement, sampler: BootstrapSampler) -> dict[str, dict[str, float]]:
    """Computes the candidate's improvement over another model on the same images, resampled identically for both.

    Returns:
      metric -> {value, low, high, p}, for the metrics that both models have. An improvement is positive where the
      candidate is better; of a metric without a direction it is the difference, without p. p is the fraction of the
      resampled test sets without an improvement: the one-sided p-value of the paired bootstrap.
    """
    metrics = {metric.name: metric for metric in candidate.metrics}
    ours, theirs = candidate.scalars(), other.scalars()
    our_samples, their_samples = resample(candidate, sampler), resample(other, sampler)
    improvements = {}
    for name in (name for name in ours if name in theirs):
        higher_is_better = metrics[name].higher_is_better
        sign = -1 if higher_is_better is False else 1
        samples = sign * (our_samples[name] - their_samples[name])
        improvements[name] = _interval(sign * (ours[name] - theirs[name]), *np.percentile(samples, PERCENTILES))
        if higher_is_better is not None:
            # never 0: the test set itself is one of the draws
            p = (1 + np.count_nonzero(samples <= TIE)) / (1 + len(samples))
            improvements[name]["p"] = float(min(p, 1.0))
    return improvements


def _interval(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": float(value), "low": float(low), "high": float(high)}
