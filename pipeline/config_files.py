"""Reads a pipeline's settings from YAML files and command-line overrides; says in a line what is wrong with them."""

import dataclasses
import difflib
import os
import pathlib
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import pydantic
import yaml

from components.shared.models import registry
from pipeline import builtin_configs
from pipeline.config import Config, ConfigError, KubeflowSettings, ResourceSettings

SAMPLE = builtin_configs.DIRECTORY / "sample.yaml"

# keys of version 0.1 -> today's; a pair is a key and what became of its values
RENAMED: dict[str, str | tuple[str, str]] = {
    "data.captions": "data.caption_files",
    "data.limit": "data.max_images",
    "data.unlisted": "data.unlisted_images",
    "data.split_shares": "data.split_fractions",
    "data.sample.images": "data.sample.num_images",
    "tokenizer.coverage": "tokenizer.max_length_quantile",
    "feature_extractor.store": "feature_extractor.store_dir",
    "trainer.models": ("trainer.comparison_models", "without the first, which is trainer.model"),
    "trainer.encoder_layers": "trainer.model.num_encoder_layers",
    "trainer.decoder_layers": "trainer.model.num_decoder_layers",
    "trainer.d_model": "trainer.model.d_model",
    "trainer.heads": "trainer.model.num_heads",
    "trainer.feed_forward": "trainer.model.ffn_dim",
    "trainer.dropout": "trainer.model.dropout",
    "trainer.norm": ("trainer.model.norm_first", "true for pre, false for post"),
    "trainer.tie_weights": "trainer.model.tie_embeddings",
    "trainer.schedule": ("trainer.optimizer.lr_schedule", "inverse_sqrt for rsqrt"),
    "trainer.warmup": "trainer.optimizer.warmup_steps",
    "trainer.learning_rate": "trainer.optimizer.peak_learning_rate",
    "trainer.weight_decay": "trainer.optimizer.weight_decay",
    "trainer.clip_norm": "trainer.optimizer.grad_clip_norm",
    "trainer.alike": ("trainer.loss_weighting", "per_caption for captions, per_image for pictures"),
    "trainer.captions_a_picture": "trainer.captions_per_image",
    "trainer.select_by": "trainer.checkpoint_metric",
    "trainer.patience": "trainer.early_stopping_patience",
    "trainer.average": "trainer.num_averaged_checkpoints",
    "trainer.checkpoint_steps": "trainer.checkpoint_every_steps",
    "trainer.checkpoint_minutes": "trainer.checkpoint_every_minutes",
    "trainer.devices": "trainer.max_gpus",
    "trainer.precision": "trainer.compute_dtype",
    "trainer.beam_size": "decoding.beam_size",
    "trainer.length_penalty": "decoding.length_penalty",
    "trainer.min_words": "decoding.min_length",
    "trainer.max_words": "decoding.max_length",
    "evaluator.min_gain": "evaluator.min_bleu_4_improvement",
    "evaluator.max_loss": "evaluator.max_regression",
    "evaluator.max_p": "evaluator.max_p_value",
    "evaluator.resamples": "evaluator.num_bootstrap_samples",
    "beam.args": "beam.pipeline_args",
    "beam.steps": ("beam.step_args", "a list of arguments per step"),
    "kubeflow.volume": "kubeflow.pvc_name",
    "kubeflow.mount": "kubeflow.mount_path",
    "kubeflow.default": "kubeflow.default_resources",
    "kubeflow.steps": "kubeflow.step_resources",
}
RENAMED_VALUES = {("data.on_drift", "stop"): "fail"}
MAY_BE_EMPTY = ("kubeflow.pvc_name",)  # null and an empty text have a meaning
MAX_DEPTH = 20  # levels of YAML; settings have five


def load(path: str | os.PathLike | Sequence[str | os.PathLike] | None = None, overrides: Sequence[str] = ()) -> Config:
    """Reads a configuration.

    Args:
      path: a YAML file or the name of a built-in config, or several, of which later ones override earlier ones; None
        for the sample's.
      overrides: `key.key=value`. The value of a text setting is taken as it is; any other is YAML, as in
        "trainer.epochs=3" or "beam.pipeline_args=[--runner=FlinkRunner]". "null" stands for the default; for
        no claim in "kubeflow.pvc_name=null".

    Raises:
      ConfigError: a file can't be read, a key is unknown, or a value is of the wrong type or out of bounds.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else path or [SAMPLE]
    return _build([_read(builtin_configs.locate(file)) for file in paths], overrides)


def loads(text: str, label: str) -> Config:
    """Reads a configuration from the text of one YAML file.

    Args:
      text: the YAML.
      label: what an error calls it.

    Raises:
      ConfigError: as `load`.
    """
    return _build([_mapping(text, label)])


def _build(files: Sequence[dict[str, Any]], overrides: Sequence[str] = ()) -> Config:
    """Merges the settings of files and overrides, and validates them."""
    tree = _resource_defaults()
    for settings in files:
        _merge(tree, settings)
    for override in overrides:
        _override(tree, override)
    faults = list(_unknown_nulls(tree, tree))  # they would be dropped unseen
    try:
        config = pydantic.TypeAdapter(Config).validate_python(_without_null(tree))
    except pydantic.ValidationError as error:
        faults += _explain(error, tree)
    if faults:
        raise ConfigError("; ".join(faults))
    return config


def _resource_defaults() -> dict[str, Any]:
    """The default resources, over which a config's are merged: a step whose memory is named keeps its CPUs."""
    defaults, unset = KubeflowSettings(), dataclasses.asdict(ResourceSettings())

    def settings_of(resources: ResourceSettings) -> dict[str, Any]:
        return {key: value for key, value in dataclasses.asdict(resources).items() if value != unset[key]}

    steps = {step: settings_of(resources) for step, resources in defaults.step_resources.items()}
    return {"kubeflow": {"default_resources": settings_of(defaults.default_resources), "step_resources": steps}}


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        names = ", ".join(builtin_configs.names())
        raise ConfigError(f"{path}: no such file, and no built-in config ({names})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    return _mapping(text, str(path))


def _mapping(text: str, label: str) -> dict[str, Any]:
    tree = _parse(text, label) or {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{label}: not a mapping of settings")
    return tree


def _parse(text: str, label: str) -> Any:
    """Parses YAML; the label says in an error where it comes from."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that does not exist
        raise ConfigError(f"{label}: {' '.join(str(error).split())}") from None
    if _is_deeper(value, MAX_DEPTH):
        raise ConfigError(f"{label}: nested more than {MAX_DEPTH} levels deep, or an alias contains itself")
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(child, levels - 1) for child in children)


def _merge(tree: dict[str, Any], other: dict[str, Any]) -> None:
    """Merges further settings into a tree, section by section."""
    _drop_other_model(tree, other)
    for key, value in other.items():
        if isinstance(value, dict):
            section = tree.get(key)
            if not isinstance(section, dict):  # empty so far, or a model that is named without settings
                section = tree[key] = {"name": section} if isinstance(section, str) else {}
            _merge(section, value)
        else:
            tree[key] = value


def _drop_other_model(tree: dict[str, Any], other: dict[str, Any]) -> None:
    """Removes the model's settings where another model is named: they are not the other one's."""
    chosen, before = _get(other, "model"), _get(tree, "model")
    name = _get(chosen, "name")
    if name and isinstance(before, dict) and name != before.get("name", registry.DEFAULT):
        tree["model"] = {}


def _unknown_nulls(tree: dict[str, Any], section: dict[str, Any], path: Sequence[str] = ()) -> Iterator[str]:
    """One line per null of a section whose key does not exist; a null itself stands for the default."""
    kind = _type_at(path, tree)
    for key, value in section.items():
        place = [*path, str(key)]
        if isinstance(value, dict):
            yield from _unknown_nulls(tree, value, place)
        elif value is None and dataclasses.is_dataclass(kind) and place[-1] not in typing.get_type_hints(kind):
            yield _unknown_key(place, ".".join(place), tree)


def _without_null(tree: dict[str, Any], section: str = "") -> dict[str, Any]:
    """Drops null values, so that their keys keep the defaults, except where null has a meaning of its own."""
    return {
        key: _without_null(value, f"{section}{key}.") if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None or f"{section}{key}" in MAY_BE_EMPTY
    }


def _override(tree: dict[str, Any], override: str) -> None:
    """Sets one value in a tree of settings."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: write KEY=VALUE, as in --set trainer.epochs=3")
    if not text and key not in MAY_BE_EMPTY:
        raise ConfigError(f"--set {override}: the value is empty; omit the setting, or write {key}=null")
    value: Any = text
    if text == "null" or not _is_text(key):
        value = _parse(text, f"--set {override}")
    for part in reversed(key.split(".")):
        value = {part: value}
    _merge(tree, value)


def _is_text(key: str) -> bool:
    """Whether a setting is a text, which needs no quotes on the command line."""
    kind = _type_at(key.split("."), {})
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return kind is str or (is_union and str in typing.get_args(kind))


def _type_at(path: Sequence[str], tree: Any) -> Any:
    """The type of the setting at a path.

    Args:
      path: keys, and places in lists.
      tree: the settings that were read, which name the captioning models.

    Returns:
      a settings class, the type of a value, or None where there is no such setting.
    """
    kind: Any = Config
    for name in path:
        tree = tree[int(name)] if isinstance(tree, Sequence) and name.isdecimal() else _get(tree, name)
        if dataclasses.is_dataclass(kind):
            kind = typing.get_type_hints(kind).get(name)
        else:  # an element of a mapping or of a list
            kind = next(reversed([arg for arg in typing.get_args(kind) if arg is not ...]), None)
        if kind is Any:
            model = _get(tree, "name") or registry.DEFAULT
            kind = registry.MODELS[model].settings if model in registry.MODELS else None
    return kind


def _get(tree: Any, key: str) -> Any:
    return tree.get(key) if isinstance(tree, dict) else None


def _explain(error: pydantic.ValidationError, tree: Any) -> Iterator[str]:
    """One line per fault that pydantic has found, with the new name of an old key."""
    for fault in error.errors():
        path = [str(part) for part in fault["loc"]]
        key, value = ".".join(path), str(fault["input"])
        if fault["type"] == "unexpected_keyword_argument":
            yield _unknown_key(path, key, tree)
        elif (key, value) in RENAMED_VALUES:
            yield f"{key}: {value} is now called {RENAMED_VALUES[key, value]}"
        elif fault["type"] == "value_error":
            yield f"{key}: {fault['ctx']['error']}"
        else:
            yield f"{key}: {fault['msg']}, not {fault['input']!r}"


def _unknown_key(path: Sequence[str], key: str, tree: Any) -> str:
    renamed = RENAMED.get(key)
    if isinstance(renamed, tuple):
        return f"{key} is now called {renamed[0]} ({renamed[1]})"
    if renamed and renamed.rpartition(".")[2] != path[-1]:
        return f"{key} is now called {renamed}"
    names = [field.name for field in dataclasses.fields(_type_at(path[:-1], tree))]
    close = [renamed] if renamed else _nearest(path, names, tree)
    return f"unknown key {key}; " + (f"did you mean {close[0]}?" if close else f"known keys: {', '.join(names)}")


def _nearest(path: Sequence[str], names: Sequence[str], tree: Any) -> list[str]:
    """The key that was probably meant, if any: the same name one level deeper, or a similar one among some names."""
    *section, key = path
    for name in names:
        kind = _type_at([*section, name], tree)
        if dataclasses.is_dataclass(kind) and key in typing.get_type_hints(kind):
            return [".".join([*section, name, key])]
    return [".".join([*section, name]) for name in difflib.get_close_matches(key, names, 1)]
