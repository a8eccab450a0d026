"""How a step's settings are declared, travel in one execution property, and come back.

A step's settings are one frozen dataclass in `components/<step>/settings.py`: names, types, bounds, defaults and a
sentence for each field. `pipeline.config` composes them into the tree that YAML files fill. Nothing heavy is imported
here, so that the command line answers at once.
"""

import dataclasses
import json
import os
from collections.abc import Collection, Mapping
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import Field

# execution properties of every step
SETTINGS = "settings"  # the step's settings, JSON
CODE = "code"  # the identity of the step's code

# every settings class is declared with it: unknown keys are refused, and the fields' docstrings are their descriptions
STRICT = pydantic.ConfigDict(extra="forbid", use_attribute_docstrings=True)

Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
UserPath = Annotated[str, pydantic.AfterValidator(os.path.expanduser)]

S = TypeVar("S")


def to_property(settings: Any, kind: type, runtime: Collection[str] = ()) -> str:
    """Serializes settings as the value of the execution property `settings`.

    Args:
      settings: an instance of `kind`, or of a class that extends it, whose further fields are left out.
      kind: the step's settings class.
      runtime: names of the fields that are execution properties of their own, because a run may choose them.

    Returns:
      JSON with sorted keys, equal for equal settings.
    """
    values = dataclasses.asdict(settings)
    names = [field.name for field in dataclasses.fields(kind) if field.name not in runtime]
    return json.dumps({name: values[name] for name in names}, sort_keys=True)


def from_properties(kind: type[S], exec_properties: Mapping[str, Any]) -> S:
    """Reads the settings of a step from its execution properties.

    Args:
      kind: the step's settings class.
      exec_properties: `settings`, of `to_property`, and the runtime parameters under their fields' names. Kubeflow
        Pipelines has no null: a 0 or "" of a field whose default is None stands for None.

    Raises:
      pydantic.ValidationError: a value is out of its bounds.
    """
    values = json.loads(exec_properties.get(SETTINGS) or "{}")
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name in exec_properties:
            value = exec_properties[field.name]
            values[field.name] = None if _default(field) is None and value in (0, "") else value
    return pydantic.TypeAdapter(kind).validate_python(values)


def from_property(kind: type[S], value: str) -> S:
    """Reads what `to_property` has written.

    Raises:
      pydantic.ValidationError: a value is out of its bounds.
    """
    return pydantic.TypeAdapter(kind).validate_json(value)


def _default(field: dataclasses.Field) -> Any:
    """A field's default; pydantic keeps those declared with `Field(default=…)` in an object of its own."""
    default = field.default
    return default.default if isinstance(default, pydantic.fields.FieldInfo) else default


def description_of(kind: type, name: str) -> str:
    """What a field's docstring says; pydantic keeps it in the class that declares the field."""
    for declaring in kind.__mro__:
        field = getattr(declaring, "__pydantic_fields__", {}).get(name)
        if field is not None and field.description:
            return " ".join(field.description.split())
    return ""
