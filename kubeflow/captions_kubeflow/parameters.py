"""The parameters of a run on the cluster."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

from pipeline.errors import UserError

# settings that each run on the cluster may choose -> their types; those that `create_pipeline` leaves open
PARAMETERS: Mapping[str, type] = {
    "data.dir": str,
    "data.max_images": int,
    "data.max_reject_fraction": float,
    "feature_extractor.backbone": str,
    "feature_extractor.weights": str,
    "trainer.epochs": int,
    "evaluator.min_bleu_4": float,
    "evaluator.min_bleu_4_improvement": float,
}


class ParameterError(UserError):
    """A parameter does not exist, or its value is of the wrong type."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of a run.

    Attributes:
      name: its name on the cluster, where names have no dots: `trainer_epochs`.
      type: str, int or float.
      default: the value in the config.
    """

    name: str
    type: type
    default: str | int | float


def parameter_name(key: str) -> str:
    """Returns a setting's name on the cluster.

    >>> parameter_name("trainer.epochs")
    'trainer_epochs'
    """
    return key.replace(".", "_")


def parse_arguments(texts: Sequence[str]) -> dict[str, str | int | float]:
    """Parses parameters as users write them: "trainer.epochs=3" -> {"trainer_epochs": 3}.

    Raises:
      ParameterError: a text is not KEY=VALUE, or see `parse`.
    """
    values = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ParameterError(f"--param {text}: write KEY=VALUE, as in --param trainer.epochs=3")
        name = parameter_name(key)
        values[name] = parse(name, value)
    return values


def overrides(values: Mapping[str, str | int | float]) -> list[str]:
    """Formats parameters as overrides of the config, which knows their bounds.

    >>> overrides({"trainer_epochs": 3, "data_max_images": 0})
    ['trainer.epochs=3', 'data.max_images=null']
    """
    keys = {parameter_name(key): key for key in PARAMETERS}
    # Kubeflow Pipelines has no null: 0 stands for it
    settings = {name: None if (name, value) == ("data_max_images", 0) else value for name, value in values.items()}
    return [
        f"{keys[name]}={value if isinstance(value, str) else json.dumps(value)}" for name, value in settings.items()
    ]


def parse(name: str, text: str) -> str | int | float:
    """Parses a parameter's value; Kubeflow Pipelines may write an integer as 3.0.

    Raises:
      ParameterError: there is no such parameter, or the text is not a value of its type.
    """
    types = {parameter_name(key): kind for key, kind in PARAMETERS.items()}
    if name not in types:
        raise ParameterError(f"unknown parameter {name}; the parameters are {', '.join(types)}")
    kind = types[name]
    try:
        if kind is int and "." in text:
            number = float(text)
            if number.is_integer():
                return int(number)
        return kind(text)
    except ValueError:
        raise ParameterError(f"{name}: {text!r} is not of type {kind.__name__}") from None
