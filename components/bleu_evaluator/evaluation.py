"""Several models on the same test images: metrics with their intervals, slices, and comparisons."""

from collections.abc import Mapping
from typing import Any

from components.bleu_evaluator import bootstrap, measurement, ptb, slices
from components.bleu_evaluator.bootstrap import BootstrapSampler
from components.bleu_evaluator.measurement import Measurement
from components.bleu_evaluator.metrics import (
    METRICS,
    PTB,
    RAW,
    SPICE,
    Corpus,
    Metric,
    MetricFailed,
    MetricUnavailable,
    all_metrics,
)
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.bleu_evaluator.test_set import TestSet
from components.shared.evaluations import VARIANT_OF
from components.shared.words import Tokenization


class Evaluation:
    """Collects the results of several models on one test set."""

    def __init__(
        self,
        test_set: TestSet,
        train_captions: frozenset[str],
        settings: BleuEvaluatorSettings,
        tokenization: Tokenization,
    ):
        """Checks what the settings ask for, before anything is captioned.

        Args:
          test_set: the images with their references.
          train_captions: the captions of the train split, see `measurement.tokenized`.
          settings: the metrics, slices and resamples.
          tokenization: what counts as a word, as in training.

        Raises:
          ValueError: a slice by a field that does not exist, or a rule about a metric that cannot be computed, or about
            words that cannot be had.
        """
        self.test_set, self.settings, self._tokenization = test_set, settings, tokenization
        self.notes: list[str] = []
        # models whose files could not be read, and metrics whose program failed: perhaps only for a moment
        self.incomplete: list[str] = []
        self._train_captions = train_captions
        self._sampler = BootstrapSampler(settings.num_bootstrap_samples, settings.seed)
        self._resources: dict[str, Any] = {}
        uses_ptb = settings.ptb or settings.tokenizer == PTB or METRICS[SPICE].is_wanted(settings)
        self._ptb = self._start_ptb() if uses_ptb else None
        self._metrics = self._set_up_metrics()
        self._slices = {
            field: slices.slice_by(field, test_set.examples, test_set.references, tokenization)
            for field in settings.slices
        }
        self._measurements: dict[str, Measurement] = {}
        self._captions: dict[str, Mapping[str, str]] = {}

    def add(self, name: str, captions: Mapping[str, str]) -> None:
        """Computes the metrics of a model.

        Args:
          name: the model's name in the results.
          captions: image ID -> caption, of every test image.

        Raises:
          ValueError: a metric that a rule needs cannot be computed, or an image has no reference with a word in it.
        """
        predictions = [captions[image_id] for image_id in self.test_set.image_ids]
        images = list(self.test_set.images().values())
        corpora = {RAW: Corpus(predictions, self.test_set.references, images=images)}
        if (ptb_corpus := self._ptb_corpus(predictions)) is not None:
            corpora[PTB] = ptb_corpus
        measured = measurement.measure(
            predictions,
            self.test_set.references,
            self._tokenization,
            self._train_captions,
            self._metrics,
            self._resources,
            corpora,
        )
        for metric in self._metrics:
            if metric.name in measured.unavailable:
                self._note_unavailable(metric, measured.unavailable[metric.name])
        self._metrics = list(measured.metrics)
        self._measurements[name] = measured
        self._captions[name] = captions

    def improvements(self, name: str, over: str) -> dict[str, dict[str, float]]:
        """Computes a model's improvement over another one, see `bootstrap.compare`."""
        return bootstrap.compare(self._measurements[name], self._measurements[over], self._sampler)

    def metrics(self) -> dict[str, dict[str, dict[str, float]]]:
        """Computes model -> metric -> {value, low, high}."""
        return {name: bootstrap.summarize(measured, self._sampler) for name, measured in self._measurements.items()}

    def metrics_info(self) -> dict[str, dict[str, Any]]:
        """Describes the metrics for readers of the evaluation, see `components.shared.evaluations`."""
        computed = {metric.name for measured in self._measurements.values() for metric in measured.metrics}
        return {
            metric.name: {
                "label": metric.label,
                "higher_is_better": metric.higher_is_better,
                "decimals": metric.decimals,
            }
            | ({VARIANT_OF: metric.variant_of} if metric.variant_of else {})
            for metric in all_metrics()
            if metric.name in computed
        }

    def slices(self) -> list[dict[str, Any]]:
        """Computes the metrics of each slice: [{field, value, num_images, models: {name: metrics}}]."""
        results = []
        for field, parts in self._slices.items():
            for value, rows in parts.items():
                models = {
                    name: bootstrap.summarize(measured.take(rows), self._sampler)
                    for name, measured in self._measurements.items()
                }
                results.append({"field": field, "value": value, "num_images": len(rows), "models": models})
        return results

    def images(self) -> list[dict[str, Any]]:
        """Lists each image with its captions and scores: [{image_id, image_uri, references, models: {name: …}}]."""
        scores = {name: measured.image_scores() for name, measured in self._measurements.items()}
        rows = []
        for row, image_id in enumerate(self.test_set.image_ids):
            models = {
                name: {"caption": self._captions[name][image_id]}
                | {metric: round(float(values[row]), 4) for metric, values in scores_by_metric.items()}
                for name, scores_by_metric in scores.items()
            }
            uri = self.test_set.examples[row]["image_uri"][0]
            references = self.test_set.references[row]
            rows.append({"image_id": image_id, "image_uri": uri, "references": references, "models": models})
        return rows

    def _set_up_metrics(self) -> list[Metric]:
        """The metrics to compute, with what some of them start beforehand."""
        metrics: dict[str, Metric] = {}
        has_variants = self.settings.ptb or self.settings.tokenizer == PTB
        for metric in all_metrics():
            if not metric.is_wanted(self.settings) or (metric.words == PTB and self._ptb is None):
                continue
            if metric.variant_of and not (has_variants and metric.variant_of in metrics):
                continue
            if metric.setup:
                try:
                    self._resources[metric.name] = metric.setup(self.settings)
                except MetricUnavailable as error:
                    self._note_unavailable(metric, error)
                    continue
            metrics[metric.name] = metric
        return list(metrics.values())

    def _start_ptb(self) -> ptb.References | None:
        try:
            return ptb.References(self.test_set.references, self._tokenization)
        except MetricUnavailable as error:
            self._note_without_ptb(error)
            return None

    def _ptb_corpus(self, predictions: list[str]) -> Corpus | None:
        """The words of COCO's server; where they cannot be had, its metrics are dropped from here on."""
        if self._ptb is None:
            return None
        try:
            return self._ptb.corpus(predictions)
        except MetricUnavailable as error:
            self._note_without_ptb(error)
            self._ptb = None
            self._metrics = [metric for metric in self._metrics if metric.words != PTB]
            return None

    def _note_without_ptb(self, error: MetricUnavailable) -> None:
        """Notes that there are no words of COCO's server, or refuses to go on where the rules use them."""
        if self.settings.tokenizer == PTB:
            raise ValueError(f"evaluator.tokenizer: {error}") from None
        for name in self.settings.max_regression:
            if METRICS[name].words == PTB:
                raise ValueError(f"evaluator.max_regression.{name}: {error}") from None
        self._note(PTB, error)

    def _note_unavailable(self, metric: Metric, error: MetricUnavailable) -> None:
        """Notes that a metric cannot be computed, or refuses to go on where a rule needs it."""
        name = metric.variant_of or metric.name
        if name in self.settings.max_regression:
            raise ValueError(f"evaluator.max_regression.{name}: {error}") from None
        self._note(name, error)

    def _note(self, name: str, error: MetricUnavailable) -> None:
        if str(error) not in self.notes:
            self.notes.append(str(error))
        if isinstance(error, MetricFailed) and name not in self.incomplete:
            self.incomplete.append(name)
