"""Several models on the same test images: metrics with their intervals, slices, and comparisons."""

from collections.abc import Mapping
from typing import Any

from components.bleu_evaluator import bootstrap, measurement, slices
from components.bleu_evaluator.bootstrap import BootstrapSampler
from components.bleu_evaluator.measurement import Measurement
from components.bleu_evaluator.metrics import METEOR, METRICS, Metric, MetricUnavailable
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.bleu_evaluator.test_set import TestSet
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
          ValueError: a slice by a field that does not exist, or a rule about a metric that cannot be computed.
        """
        self.test_set, self.settings, self._tokenization = test_set, settings, tokenization
        self.notes: list[str] = []
        self.unread: list[str] = []  # models whose files could not be read, perhaps only for a moment
        self._train_captions = train_captions
        self._sampler = BootstrapSampler(settings.num_bootstrap_samples, settings.seed)
        self._resources: dict[str, Any] = {}
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
        measured = measurement.measure(
            predictions,
            self.test_set.references,
            self._tokenization,
            self._train_captions,
            self._metrics,
            self._resources,
        )
        for metric_name, error in measured.unavailable.items():
            self._note_unavailable(metric_name, error)
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
        """Describes the metrics for readers of the evaluation: metric -> {label, higher_is_better, decimals}."""
        computed = {metric.name for measured in self._measurements.values() for metric in measured.metrics}
        return {
            name: {
                "label": metric.label,
                "higher_is_better": metric.higher_is_better,
                "decimals": metric.decimals,
            }
            for name, metric in METRICS.items()
            if name in computed
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
        metrics = []
        for metric in METRICS.values():
            if metric.name == METEOR and not self.settings.meteor and METEOR not in self.settings.max_regression:
                continue
            if metric.setup:
                try:
                    self._resources[metric.name] = metric.setup()
                except MetricUnavailable as error:
                    self._note_unavailable(metric.name, error)
                    continue
            metrics.append(metric)
        return metrics

    def _note_unavailable(self, name: str, error: MetricUnavailable) -> None:
        """Notes that a metric cannot be computed, or refuses to go on where a rule needs it."""
        if name in self.settings.max_regression:
            raise ValueError(f"evaluator.max_regression.{name}: {error}") from None
        self.notes.append(str(error))
