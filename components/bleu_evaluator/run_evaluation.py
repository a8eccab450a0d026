"""Runs an evaluation: captions the test split with each model, and puts the results together."""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from absl import logging

from components.bleu_evaluator.captioning import DATA_ERRORS
from components.bleu_evaluator.decision import (
    Verdict,
    baseline_unavailable,
    cause_of,
    decide,
    is_blessed,
    rolled_back,
    undecided,
    way_out,
)
from components.bleu_evaluator.evaluation import Evaluation
from components.bleu_evaluator.metrics import deciding_metric
from components.shared import records
from components.shared.evaluations import BASELINE, CANDIDATE, PRIMARY_METRIC
from components.shared.read_errors import is_transient
from components.shared.storage import write_text


@dataclasses.dataclass(frozen=True)
class Models:
    """The models to evaluate.

    Attributes:
      candidate: the directory of the candidate's SavedModel.
      baseline: that of the last blessed model; None without a comparison.
      baseline_test_set: fingerprint of the test set on which the baseline was evaluated before; "" if unknown.
      comparisons: name -> directory, of further models.
      rolled_back: when the candidate was rolled back manually; "" if it was not.
    """

    candidate: str
    baseline: str | None
    baseline_test_set: str
    comparisons: Mapping[str, str]
    rolled_back: str


def evaluate(
    models: Models, evaluation: Evaluation, caption: Callable[[str], Mapping[str, str]], predictions_dir: str
) -> dict[str, Any]:
    """Captions and evaluates all models, and decides about the candidate.

    Args:
      models: the models to evaluate.
      evaluation: the test set and the settings; it collects the metrics.
      caption: directory of a SavedModel -> {image ID: caption} of all test images.
      predictions_dir: where the captions are written in COCO's results format, before they are scored.

    Returns:
      the content of `evaluation.json` but for the models' names.

    Raises:
      CorruptShardError, MissingFeaturesError, ImageChangedError, UnreadableImageError: the run's data cannot be read;
        that is no reason to reject a model.
      Exception: the candidate cannot be captioned with, or a metric that a rule needs cannot be computed.
    """

    def score(name: str, captions: Mapping[str, str]) -> None:
        coco = [{"image_id": image_id, "caption": captions[image_id]} for image_id in evaluation.test_set.image_ids]
        file_name = "predictions.json" if name == CANDIDATE else f"{name}_predictions.json"
        write_text(os.path.join(predictions_dir, file_name), json.dumps(coco, ensure_ascii=False, indent=1))
        evaluation.add(name, captions)

    score(CANDIDATE, caption(models.candidate))
    improvements: dict[str, dict] = {}
    verdicts = []
    for name, model_dir in [*models.comparisons.items(), *([(BASELINE, models.baseline)] if models.baseline else [])]:
        try:
            captions = caption(model_dir)
        except DATA_ERRORS:
            raise
        except Exception as error:  # of a SavedModel that was moved, truncated or made by other versions, any
            logging.exception("%s cannot be evaluated", name)
            if is_transient(error):
                evaluation.incomplete.append(name)
            if name == BASELINE:
                verdicts.append(baseline_unavailable(model_dir, error))
            else:  # for information only: it must not hold up the decision
                evaluation.notes.append(f"{name} cannot be evaluated ({cause_of(error)})")
        else:  # not tried: what goes wrong here is no fault of the model
            score(name, captions)
            improvements[name] = evaluation.improvements(CANDIDATE, name)
    if models.baseline is not None:
        evaluation.notes += _test_set_warning(evaluation.test_set.fingerprint, models.baseline_test_set)
    if models.rolled_back:
        verdicts.append(rolled_back(models.rolled_back))
    return _result(verdicts, evaluation, improvements)


def _result(others: list[Verdict], evaluation: Evaluation, improvements: dict[str, dict]) -> dict[str, Any]:
    """The results, by the rules and the verdicts that rest on no metric."""
    metrics = evaluation.metrics()
    candidate = _values(metrics[CANDIDATE])
    if BASELINE in improvements:
        evaluation.notes += undecided(candidate, _values(metrics[BASELINE]), evaluation.settings.tokenizer)
    verdicts = decide(candidate, improvements.get(BASELINE), evaluation.settings) + others
    return {
        "decision": records.BLESSED if is_blessed(verdicts) else records.REJECTED,
        "reasons": [verdict.reason for verdict in verdicts],
        "rules": [dataclasses.asdict(verdict) for verdict in verdicts],
        "notes": evaluation.notes + way_out(verdicts),
        "incomplete": evaluation.incomplete,
        "num_images": len(evaluation.test_set.image_ids),
        "test_set": evaluation.test_set.fingerprint,
        "metrics": candidate,
        "baseline_metrics": _values(metrics[BASELINE]) if BASELINE in improvements else None,
        "metrics_info": evaluation.metrics_info(),
        "primary_metric": deciding_metric(PRIMARY_METRIC, evaluation.settings.tokenizer).name,
        "models": {name: values for name, values in metrics.items() if name in (CANDIDATE, *improvements)},
        "improvements": improvements,
        "slices": evaluation.slices(),
    }


def _test_set_warning(now: str, before: str) -> list[str]:
    """A note where the test set is not the one on which the baseline was blessed."""
    if not before or before == now:
        return []
    return [
        f"the test set has changed since the last blessed model was evaluated (it was {before} and is {now}): the "
        "baseline's metrics here are on the current test set, and differ from those that it was blessed with"
    ]


def _values(metrics: dict[str, dict[str, float]]) -> dict[str, float]:
    return {name: metric["value"] for name, metric in metrics.items()}
