"""The metrics of one model's captions, for any part or resample of the test images."""

import collections
import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from components.bleu_evaluator.metrics import (
    METRICS,
    SIMPLE,
    Corpus,
    CorpusCounts,
    Key,
    Mean,
    Metric,
    MetricUnavailable,
    NumDistinct,
)
from components.shared.words import Tokenization, split_words


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Per-image statistics of one model's captions.

    Attributes:
      num_images: the number of images, n.
      metrics: the metrics that could be computed.
      values: for each metric's `key` the result of `per_image`: float64 [n, k], or n sets of items.
      unavailable: metric -> why it could not be computed.
    """

    num_images: int
    metrics: Sequence[Metric]
    values: Mapping[Key, Any]
    unavailable: Mapping[str, MetricUnavailable] = dataclasses.field(default_factory=dict)

    def take(self, rows: np.ndarray) -> "Measurement":
        """The part with the images at some rows, int [m]."""
        parts = {
            key: values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]
            for key, values in self.values.items()
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
                resampled[metric.name] = sums[metric.key][:, 0] / num_drawn
            elif isinstance(metric.aggregation, CorpusCounts):
                resampled[metric.name] = np.asarray(metric.aggregation.function(sums[metric.key]))
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
                items = self.values[metric.key]
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
            metric.name: np.asarray(metric.image_scores(self.values[metric.key]))
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
    further: Mapping[str, Corpus] | None = None,
) -> Measurement:
    """Compares captions with references, in the words of `words.split_words`, and in others.

    Args:
      predictions: a caption per image, [n].
      references: the raw reference captions of each image, [n], at least one each.
      tokenization: what counts as a word, as in training.
      train_captions: those of `tokenized`.
      metrics: what to compute; None computes all metrics that need no setup.
      resources: metric -> what its `setup` has returned.
      further: PTB or RAW -> the same captions and references in these words; needed by metrics that count them.

    Raises:
      ValueError: there are no images, or one has no reference with a word in it.
    """
    if metrics is None:
        metrics = [metric for metric in METRICS.values() if metric.setup is None]
    tokenize = functools.partial(_tokenized, tokenization=tokenization)
    words = [[text for text in map(tokenize, sentences) if text] for sentences in references]
    if not predictions or not all(words):
        raise ValueError("there are no test images, or a test image has no references")
    corpora = {SIMPLE: Corpus(tuple(map(tokenize, predictions)), words, train_captions, resources or {})}
    for words_of, corpus in (further or {}).items():
        corpora[words_of] = dataclasses.replace(corpus, resources=resources or {})
    values: dict[Key, Any] = {}
    unavailable: dict[str, MetricUnavailable] = {}
    for metric in metrics:
        if metric.key not in values:
            try:
                values[metric.key] = _values(metric, corpora, values)
            except MetricUnavailable as error:
                unavailable[metric.name] = error
    available = [metric for metric in metrics if metric.key in values]
    return Measurement(len(predictions), available, values, unavailable)


def tokenized(sentences: Collection[str], tokenization: Tokenization) -> frozenset[str]:
    """Sentences in the form in which captions are compared; for `tokenization` see `measure`."""
    return frozenset(_tokenized(sentence, tokenization) for sentence in sentences)


def _tokenized(sentence: str, tokenization: Tokenization) -> str:
    return " ".join(split_words(sentence, tokenization))


def _values(metric: Metric, corpora: Mapping[str, Corpus], known: Mapping[Key, Any]) -> Any:
    """A metric's per-image statistics; of a variant, those of the metric itself for images with the same words.

    Most images of a plain dataset have the same words by both tokenizers, and METEOR takes long.
    """
    corpus, other = corpora[metric.words], corpora[SIMPLE]
    same = known.get((SIMPLE, metric.per_image)) if metric.variant_of else None
    if same is None:
        return _per_image_values(metric, corpus)
    pairs = zip(corpus.captions, corpus.references, other.captions, other.references, strict=True)
    differ = [row for row, (a, b, c, d) in enumerate(pairs) if (a, list(b)) != (c, list(d))]
    if not differ:
        return same
    if metric.is_corpus_wide:
        return _per_image_values(metric, corpus)
    part = dataclasses.replace(
        corpus,
        captions=[corpus.captions[row] for row in differ],
        references=[corpus.references[row] for row in differ],
    )
    values = same.copy()
    values[differ] = _per_image_values(metric, part)
    return values


def _per_image_values(metric: Metric, corpus: Corpus) -> Any:
    values = metric.per_image(corpus)
    if isinstance(metric.aggregation, NumDistinct):
        return list(values)
    return np.asarray(values, np.float64).reshape(len(corpus.captions), -1)
