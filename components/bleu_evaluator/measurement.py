"""The metrics of one model's captions, for any part or resample of the test images."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from components.bleu_evaluator.metrics import (
    METRICS,
    Corpus,
    CorpusCounts,
    Mean,
    Metric,
    MetricUnavailable,
    NumDistinct,
)
from components.shared.words import Tokenization, split_words

PerImage = Callable[[Corpus], Any]


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Per-image statistics of one model's captions.

    Attributes:
      num_images: the number of images, n.
      metrics: the metrics that could be computed.
      values: for each metric's `per_image` its result: float64 [n, k], or n sets of items.
      unavailable: metric -> why it could not be computed.
    """

    num_images: int
    metrics: Sequence[Metric]
    values: Mapping[PerImage, Any]
    unavailable: Mapping[str, MetricUnavailable] = dataclasses.field(default_factory=dict)

    def take(self, rows: np.ndarray) -> "Measurement":
        """The part with the images at some rows, int [m]."""
        parts = {
            per_image: values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]
            for per_image, values in self.values.items()
        }
        return Measurement(len(rows), self.metrics, parts, self.unavailable)

    def resampled(self, draw_counts: np.ndarray) -> dict[str, np.ndarray]:
        """The metrics of resampled test sets.

        Args:
          draw_counts: how often each image is in each test set, [R, n].

        Returns:
          metric -> float64 [R]; without those of `count_metrics`.
        """
        weights = draw_counts.astype(np.float64)
        num_drawn = weights.sum(axis=1)
        sums = {key: weights @ values for key, values in self.values.items() if isinstance(values, np.ndarray)}
        resampled = {}
        for metric in self.metrics:
            if isinstance(metric.aggregation, Mean):
                resampled[metric.name] = sums[metric.per_image][:, 0] / num_drawn
            elif isinstance(metric.aggregation, CorpusCounts):
                resampled[metric.name] = np.asarray(metric.aggregation.function(sums[metric.per_image]))
        return resampled

    def scalars(self) -> dict[str, float]:
        """The metrics of all images: metric -> value; without those of `count_metrics`."""
        return {name: float(value) for name, [value] in self.resampled(np.ones((1, self.num_images))).items()}

    def count_metrics(self) -> dict[str, tuple[float, np.ndarray]]:
        """The metrics that count distinct items: a resample lacks a third of the images and has too few of them.

        Returns:
          metric -> (value, float64 [n]: the value without each one of the images).
        """
        count_metrics = {}
        for metric in self.metrics:
            if isinstance(metric.aggregation, NumDistinct):
                items = self.values[metric.per_image]
                frequencies = collections.Counter(item for image_items in items for item in image_items)
                num_only_here = np.array([sum(frequencies[item] == 1 for item in image_items) for image_items in items])
                value, without_one = float(len(frequencies)), len(frequencies) - num_only_here.astype(np.float64)
                if metric.aggregation.as_fraction:
                    value, without_one = value / self.num_images, without_one / max(self.num_images - 1, 1)
                count_metrics[metric.name] = value, without_one
        return count_metrics

    def image_scores(self) -> dict[str, np.ndarray]:
        """The scores of single images: metric -> float64 [n], for the metrics that have such."""
        return {
            metric.name: np.asarray(metric.image_scores(self.values[metric.per_image]))
            for metric in self.metrics
            if metric.image_scores
        }


def measure(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenization: Tokenization,
    train_captions: Collection[str] = (),
    metrics: Collection[Metric] | None = None,
    resources: Mapping[str, Any] | None = None,
) -> Measurement:
    """Compares captions with references, all in the words of `words.split_words`.

    Args:
      predictions: a caption per image, [n].
      references: the raw reference captions of each image, [n], at least one each.
      tokenization: what counts as a word, as in training.
      train_captions: those of `tokenized`.
      metrics: what to compute; None computes all metrics that need no setup.
      resources: metric -> what its `setup` has returned.

    Raises:
      ValueError: there are no images, or one has no reference with a word in it.
    """
    if metrics is None:
        metrics = [metric for metric in METRICS.values() if metric.setup is None]
    tokenize = functools.partial(_tokenized, tokenization=tokenization)
    words = [[text for text in map(tokenize, sentences) if text] for sentences in references]
    if not predictions or not all(words):
        raise ValueError("there are no test images, or a test image has no references")
    corpus = Corpus(tuple(map(tokenize, predictions)), words, train_captions, resources or {})
    values: dict[PerImage, Any] = {}
    unavailable: dict[str, MetricUnavailable] = {}
    for metric in metrics:
        if metric.per_image not in values:
            try:
                values[metric.per_image] = _per_image_values(metric, corpus)
            except MetricUnavailable as error:
                unavailable[metric.name] = error
    available = [metric for metric in metrics if metric.per_image in values]
    return Measurement(len(predictions), available, values, unavailable)


def tokenized(sentences: Collection[str], tokenization: Tokenization) -> frozenset[str]:
    """Sentences in the form in which captions are compared; for `tokenization` see `measure`."""
    return frozenset(_tokenized(sentence, tokenization) for sentence in sentences)


def _tokenized(sentence: str, tokenization: Tokenization) -> str:
    return " ".join(split_words(sentence, tokenization))


def _per_image_values(metric: Metric, corpus: Corpus) -> Any:
    values = metric.per_image(corpus)
    if isinstance(metric.aggregation, NumDistinct):
        return list(values)
    return np.asarray(values, np.float64).reshape(len(corpus.captions), -1)
