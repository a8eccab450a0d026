"""What a run on the cluster may choose."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

# settings that each run on the cluster may choose
PARAMETERS: Mapping[str, type] = {
    "data.dir": str,
    "data.limit": int,
    "data.max_reject_fraction": float,
    "feature_extractor.backbone": str,
    "feature_extractor.weights": str,
    "trainer.epochs": int,
    "evaluator.min_bleu_4": float,
    "evaluator.min_gain": float,
}


class ParameterError(ValueError):
    """There is no such parameter, or a value is not of its type."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of a run.

    Attributes:
      name: on the cluster, where names have no dots: `trainer_epochs`.
      type: str, int or float.
      default: the config's value.
    """

    name: str
    type: type
    default: str | int | float


def parameter_name(key: str) -> str:
    """A setting's name on the cluster.

    >>> parameter_name("trainer.epochs")
    'trainer_epochs'
    """
    return key.replace(".", "_")


def arguments(texts: Sequence[str]) -> dict[str, str | int | float]:
    """Parameters as people write them, "trainer.epochs=3" -> {"trainer_epochs": 3}.

    Raises:
      ParameterError: see `bind`.
    """
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ParameterError(f"--param {text}: write KEY=VALUE, as in --param trainer.epochs=3")
        found[parameter_name(key)] = parse(parameter_name(key), value)
    return found


def overrides(given: Mapping[str, str | int | float]) -> list[str]:
    """Parameters as overrides of the config, which knows their ranges.

    >>> overrides({"trainer_epochs": 3, "data_limit": 0})
    ['trainer.epochs=3', 'data.limit=null']
    """
    keys = {parameter_name(key): key for key in PARAMETERS}
    values = {name: None if (name, value) == ("data_limit", 0) else value for name, value in given.items()}
    return [f"{keys[name]}={json.dumps(value)}" for name, value in values.items()]


def parse(name: str, text: str) -> str | int | float:
    """A parameter's value; Kubeflow Pipelines may write a whole number as 3.0.

    Raises:
      ParameterError: see `bind`.
    """
    types = {parameter_name(key): kind for key, kind in PARAMETERS.items()}
    if name not in types:
        raise ParameterError(f"no parameter {name}; there are {', '.join(types)}")
    kind = types[name]
    try:
        if kind is int and "." in text:
            number = float(text)
            if number.is_integer():
                return int(number)
        return kind(text)
    except ValueError:
        raise ParameterError(f"{name}: {text!r} is not of type {kind.__name__}") from None
