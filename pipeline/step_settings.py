"""The settings that a step ran with, read back from its execution properties."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from components.shared.step import CODE, SETTINGS

# step -> its section of a config file; a step of a comparison model has the model's label after a "_"
SECTIONS = {
    "CaptionIngest": "data",
    "ExampleValidator": "data",
    "Transform": "tokenizer",
    "FeatureExtractor": "feature_extractor",
    "Trainer": "trainer",
    "Exporter": "decoding",
    "BleuEvaluator": "evaluator",
}
# properties that hold several settings as JSON; TFX's Transform has the second, as had version 0.1's Trainer
_NESTED = (SETTINGS, "custom_config")
# observations of drivers, places of files and TFX's own parameters, also under the names of version 0.1
NON_SETTINGS = {
    "lineage", "evaluation_uri", "baseline_test_set", "baseline_files", "uncompared_models", "rolled_back",
    "previous_statistics", "cache_dir", "store_dir", "checkpoint_dir", "label", "commit", "fingerprint",
    "push_destination", "schema_file", "exclude_splits", "preprocessing_fn", "disable_statistics", "force_tf_compat_v1",
    "to_compare", "memory_dir", "run_fn", "train_args", "eval_args", "model_name", "keep_digits", "tokenization",
}  # fmt: skip


def config_keys(node: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a step under their keys in a config file.

    >>> config_keys("Trainer_gru", {"epochs": 3, "settings": '{"model": {"units": 8}}', "label": "gru"})
    {'trainer_gru.epochs': 3, 'trainer_gru.model.units': 8}

    Args:
      node: the step's name.
      properties: its execution properties.
    """
    step, separator, label = node.partition("_")
    section = SECTIONS[step] + separator + label if step in SECTIONS else node
    return {f"{section}.{name}": value for name, value in flatten(properties).items()}


def flatten(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Execution properties that are settings: dotted name -> value; JSON objects are opened level by level.

    >>> flatten({"settings": '{"optimizer": {"warmup_steps": 20}}', "epochs": 3, "label": "gru"})
    {'optimizer.warmup_steps': 20, 'epochs': 3}
    """
    settings: dict[str, Any] = {}
    for name, value in properties.items():
        if name in _NESTED:
            settings |= dict(_leaves("", json.loads(value or "null") or {}))
        elif name not in NON_SETTINGS:
            settings |= dict(_leaves(name, value))
    return settings


def format_setting(value: Any) -> str:
    """A setting's value as in a config file, for tables."""
    return "null" if value is None else str(value)


def without_code(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the identity of the code, which version 0.1 called `source`."""
    return {name: value for name, value in settings.items() if name not in (CODE, "source")}


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, str) and value.startswith("{"):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, Mapping) or (name and not value):
        yield name, value
        return
    for key, inner in value.items():
        # version 0.1's Trainer had its settings one level deeper
        yield from _leaves(f"{name}.{key}" if name else "" if key == SETTINGS else key, inner)
