"""The captioning models by name. To add one: a settings class, a class that satisfies `CaptionModel`, a line here."""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

import pydantic

from components.shared.models.settings import GRUSettings, TransformerSettings


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """A captioning model.

    Attributes:
      settings: its settings class, whose field `name` is the model's name.
      path: "module:class" of the Keras model, which is imported when it is built: settings need no TensorFlow.
    """

    settings: type
    path: str


MODELS: dict[str, ModelEntry] = {
    "transformer": ModelEntry(TransformerSettings, "components.shared.models.transformer:CaptionTransformer"),
    "gru": ModelEntry(GRUSettings, "components.shared.models.gru:GRUCaptioner"),
}
DEFAULT = "transformer"
RENAMED = {"attention": "gru"}  # a name in version 0.1 -> the present one


def parse_settings(value: Any) -> Any:
    """Settings of one model -> an instance of the settings class that its `name` chooses.

    Args:
      value: a mapping with the settings, a model's name alone, or an instance of a settings class.

    Raises:
      ValueError: there is no model of that name.
      pydantic.ValidationError: the model has no such setting, or a value is out of its bounds.
    """
    if any(isinstance(value, entry.settings) for entry in MODELS.values()):
        return value
    values = {"name": value} if isinstance(value, str) else value
    if not isinstance(values, Mapping):
        raise ValueError("must be a model's name or a mapping of its settings")
    name = values.get("name", DEFAULT)
    if name in RENAMED:
        raise ValueError(f"{name} is now called {RENAMED[name]}")
    if name not in MODELS:
        raise ValueError(f"no model {name!r}; the models are {', '.join(MODELS)}")
    return pydantic.TypeAdapter(MODELS[name].settings).validate_python(values)


def module_of(name: str) -> str:
    """The module that defines a model; it is not imported."""
    return MODELS[name].path.partition(":")[0]


def model_class(name: str) -> Any:
    """The Keras model class of a name."""
    return getattr(importlib.import_module(module_of(name)), MODELS[name].path.partition(":")[2])
