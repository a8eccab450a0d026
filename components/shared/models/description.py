"""The description of a trained model: `model.json` beside its weights, `captioner.json` in its SavedModel."""

import dataclasses
import json
import os
from typing import Any

import pydantic

from components.shared import storage
from components.shared.models import registry
from components.shared.models.protocol import ModelInputs

EXPORTED = os.path.join("assets.extra", "captioner.json")  # in a SavedModel; assets.extra is TensorFlow's


class ModelFileError(ValueError):
    """A file of a trained model is missing, is damaged, or does not fit; the message names it."""


class MissingModelFileError(ModelFileError):
    """A file of a trained model is missing."""


def format_parameters(number: int) -> str:
    """Formats the number of a model's parameters.

    >>> format_parameters(2_130_000), format_parameters(12_345), format_parameters(999)
    ('2.1 M parameters', '12 k parameters', '999 parameters')
    """
    for size, unit, decimals in ((10**6, " M", 1), (10**3, " k", 0)):
        if number >= size:
            return f"{number / size:.{decimals}f}{unit} parameters"
    return f"{number} parameters"


@dataclasses.dataclass(frozen=True)
class Description:
    """What it takes to build a model again and to feed it.

    Attributes:
      label: what evaluations and reports call the model.
      settings: the model's settings, of the class that the registry names.
      inputs: the model's inputs.
      feature_fingerprint: the identity of the features that the model was trained on.
    """

    label: str
    settings: Any
    inputs: ModelInputs
    feature_fingerprint: str

    def to_json(self, **more: Any) -> str:
        """Serializes the description, with more keys beside it."""
        return json.dumps(dataclasses.asdict(self) | more, indent=1, sort_keys=True)


def read(path: str) -> tuple[Description, dict[str, Any]]:
    """Reads a description.

    Args:
      path: the path of a file with the output of `Description.to_json`.

    Returns:
      the description, and the keys beside it.

    Raises:
      MissingModelFileError: the file is missing.
      ModelFileError: it is damaged, or names a model or a setting that does not exist.
    """
    try:
        values = storage.read_json(path)
        description = Description(
            label=str(values.pop("label")),
            settings=registry.parse_settings(values.pop("settings")),
            inputs=pydantic.TypeAdapter(ModelInputs).validate_python(values.pop("inputs")),
            feature_fingerprint=str(values.pop("feature_fingerprint")),
        )
        return description, values
    except FileNotFoundError as error:
        raise MissingModelFileError(f"{path} is missing: the model is incomplete") from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:  # JSON's and pydantic's are ValueErrors
        raise ModelFileError(f"{path} does not describe a model of this version: {one_line(error)}") from error


def read_exported(directory: str) -> Description:
    """Reads the description of an exported model.

    Args:
      directory: the directory of the SavedModel.

    Raises:
      ModelFileError: as `read`.
    """
    return read(os.path.join(directory, EXPORTED))[0]


def one_line(error: Exception) -> str:
    """An error's message in one line."""
    if isinstance(error, pydantic.ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
