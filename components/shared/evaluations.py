"""The files of an `evaluation` artifact, for everyone who shows them."""

import os
from collections.abc import Mapping
from typing import Any

from ml_metadata.proto import metadata_store_pb2

from components.shared import storage
from components.shared.progress import LOGGER
from components.shared.records import DECISION, EVALUATION_FILE, IMAGES_FILE, REJECTED

CANDIDATE, BASELINE = "candidate", "baseline"  # models in an evaluation; comparison models go by their labels
TIE = 1e-6  # metrics that differ by no more are equal: less is smoothing and rounding
PRIMARY_METRIC = (
    "bleu_4"  # the metric that decides, and by which images are sorted; or its variant by the PTB tokenizer
)
VARIANT_OF = "variant_of"
MAX_DECIMALS = 6  # of a difference that is small and no tie
MIN_TEST_IMAGES = 50  # fewer say little: the interval of BLEU-4 is a tenth of the scale wide, and more

# evaluations of version 0.1 name decisions, metrics, keys and rules otherwise, and do not describe their metrics
_DECISIONS_0_1 = {"refused": REJECTED}
_METRICS_0_1 = {
    "length": "mean_length", "copied": "train_overlap", "vocabulary": "unique_words", "distinct": "distinct_captions",
}  # fmt: skip
_INFO_0_1: dict[str, dict[str, Any]] = {
    "bleu_1": {"label": "BLEU-1", "higher_is_better": True},
    "bleu_2": {"label": "BLEU-2", "higher_is_better": True},
    "bleu_3": {"label": "BLEU-3", "higher_is_better": True},
    "bleu_4": {"label": "BLEU-4", "higher_is_better": True},
    "cider": {"label": "CIDEr", "higher_is_better": True},
    "rouge_l": {"label": "ROUGE-L", "higher_is_better": True},
    "meteor": {"label": "METEOR", "higher_is_better": True},
    "mean_length": {"label": "mean caption length"},
    "train_overlap": {"label": "train overlap"},
    "unique_words": {"label": "unique words", "decimals": 0},
    "distinct_captions": {"label": "distinct captions"},
}
_KEYS_0_1 = {"gains": "improvements", "pictures": "num_images", "model_name": "model_label"}
_RULES_0_1 = {"min_gain": "min_bleu_4_improvement", "max_loss": "max_regression", "max_p": "max_p_value"}
_RULE_KEYS_0_1 = {"wanted": "threshold", "met": "passed"}
_IMAGES_FILE_0_1 = "pictures.json"


def read_evaluation(uri: str) -> dict[str, Any]:
    """Reads an evaluation.

    Args:
      uri: the directory of an `evaluation` artifact; one of version 0.1 is translated.

    Returns:
      the content of its file; empty where the file does not exist any more, or is damaged. `metrics_info` describes its
      metrics: metric -> {label, higher_is_better, decimals}, in the order of tables; one on the words of COCO's server
      has `variant_of`, the name of the metric that it is a variant of.
    """
    path = os.path.join(uri, EVALUATION_FILE)
    if not storage.exists(path):
        return {}
    try:
        evaluation = storage.read_json(path)
    except ValueError:
        LOGGER.warning("%s is damaged, and its metrics are lost", path)
        return {}
    return evaluation if "metrics_info" in evaluation else _from_0_1(evaluation)


def decision_of(artifact: metadata_store_pb2.Artifact) -> str:
    """The decision of an `evaluation` artifact, in today's words; empty where it has none."""
    properties = artifact.custom_properties  # reading an absent key would add it
    decision = properties[DECISION].string_value if DECISION in properties else ""
    return _DECISIONS_0_1.get(decision, decision)


def read_images(uri: str) -> list[dict[str, Any]]:
    """Reads an evaluation's test images: [{image_id, image_uri, references, models: {name: {caption, scores}}}]."""
    path = os.path.join(uri, IMAGES_FILE)
    if not storage.exists(path):
        path = os.path.join(uri, _IMAGES_FILE_0_1)
    return storage.read_json(path)


def primary_metric(evaluation: Mapping[str, Any]) -> str:
    """The metric that has decided, and by which images are sorted."""
    return evaluation.get("primary_metric") or PRIMARY_METRIC


def quality_metrics(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """The metrics that say how good captions are, by the tokenizer that decides: metric -> label."""
    info = evaluation.get("metrics_info") or {}
    variants: dict[str, str] = {}
    if VARIANT_OF in info.get(primary_metric(evaluation), {}):
        variants = {about[VARIANT_OF]: name for name, about in info.items() if VARIANT_OF in about}
    names = [name for name, about in info.items() if about["higher_is_better"] is not None and VARIANT_OF not in about]
    return {name: info[name]["label"] for name in (variants.get(name, name) for name in names)}


def format_metric(metric: Mapping[str, float], decimals: int = 3) -> str:
    """Formats a metric with its 95 % interval."""
    value, low, high = (f"{metric[key]:.{decimals}f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def format_difference(value: float, decimals: int = 3) -> str:
    """Formats a difference with its sign, and with as many decimals as its first digit needs.

    >>> format_difference(-0.00012), format_difference(-4.6e-10)
    ('-0.0001', '+0.000')
    """
    decimals = decimals_of(value, decimals)
    return f"{round(value, decimals) + 0.0:+.{decimals}f}"  # a sum with 0.0 has no negative zero


def decimals_of(value: float, decimals: int = 3) -> int:
    """The decimals with which a difference does not look like none; more than `decimals` only where it is no tie."""
    choices = range(decimals, MAX_DECIMALS + 1)
    return next((n for n in choices if round(value, n)), MAX_DECIMALS) if abs(value) > TIE else decimals


def small_test_warning(num_images: int) -> list[str]:
    """Warns of a test split on which metrics say little.

    Args:
      num_images: number of its images.

    Returns:
      one warning; none if it is large enough.
    """
    if num_images >= MIN_TEST_IMAGES:
        return []
    number = "1 image" if num_images == 1 else f"{num_images} images"
    return [
        f"the test split has {number}: BLEU-4 over fewer than {MIN_TEST_IMAGES} says little, and so does its interval"
    ]


def _from_0_1(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation of version 0.1 in today's words."""
    translated = {_KEYS_0_1.get(key, key): value for key, value in evaluation.items()}
    if "decision" in translated:
        translated["decision"] = _DECISIONS_0_1.get(translated["decision"], translated["decision"])
    for key in ("metrics", "baseline_metrics"):
        if translated.get(key):
            translated[key] = _rename(translated[key], _METRICS_0_1)
    for key in ("models", "improvements"):
        if key in translated:
            translated[key] = {name: _rename(values, _METRICS_0_1) for name, values in translated[key].items()}
    translated["rules"] = [_rule(rule) for rule in evaluation.get("rules", [])]
    translated["slices"] = [
        _rename(part, _KEYS_0_1)
        | {"models": {name: _rename(values, _METRICS_0_1) for name, values in part["models"].items()}}
        for part in evaluation.get("slices", [])
    ]
    computed = {name for values in translated.get("models", {}).values() for name in values}
    order = [*_INFO_0_1, *sorted(computed - _INFO_0_1.keys())]
    translated["metrics_info"] = {
        name: {"label": name, "higher_is_better": None, "decimals": 3} | _INFO_0_1.get(name, {})
        for name in order
        if name in computed
    }
    return translated


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    name, dot, metric = rule["rule"].partition(".")
    return _rename(rule, _RULE_KEYS_0_1) | {"rule": _RULES_0_1.get(name, name) + dot + metric}


def _rename(mapping: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in mapping.items()}
