"""The page of all settings, docs/configuration.md, from the settings classes."""

import dataclasses
import pathlib
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import annotated_types
import pydantic
import yaml

from components.shared.models import registry
from components.shared.settings import description_of
from pipeline.config import Config

PAGE = pathlib.Path(__file__).parent / "configuration.md"
HEAD = """# Configuration

After reading this page you can set anything that the pipeline lets you set. `make docs` writes it from the settings
classes (`components/*/settings.py`, `components/shared/models/settings.py`, `pipeline/config.py`); do not edit it.

Settings are given in YAML files and on the command line; what neither names keeps its default:

```
caption-pipeline run --config my.yaml --config overlay.yaml --set trainer.epochs=3 trainer.model.num_heads=4
```

Later files override earlier ones, `--set` overrides both. The value of a text setting is taken as it is, so that
`--set "data.dir=my data #2"` needs no further quotes; any other value is YAML. `null` stands for the default. An
unknown key is rejected, and the error names the nearest key; for a key of version 0.1 it names the replacement.
"""
_BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


@dataclasses.dataclass(frozen=True)
class Row:
    """A setting.

    Attributes:
      key: its dotted key.
      default: its default.
      values: its choices or bounds, for people; empty if its type says it all.
      meaning: its description.
    """

    key: str
    default: Any
    values: str
    meaning: str

    def to_markdown(self) -> str:
        """The row of a table."""
        cells = (f"`{self.key}`", f"`{_yaml(self.default)}`", self.values, self.meaning)
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def page() -> str:
    """The page in Markdown."""
    return "\n".join([HEAD, *(_table(title, about, rows) for title, about, rows in sections())])


def sections() -> Iterator[tuple[str, str, list[Row]]]:
    """Yields (title, what it is about, rows) per settings class."""
    config = Config()
    yield "General", _about(Config), _rows(config, "")
    for field in dataclasses.fields(config):
        if _is_section(field):
            yield from _sections_of(getattr(config, field.name), field.name)


def _sections_of(settings: Any, key: str) -> Iterator[tuple[str, str, list[Row]]]:
    """A settings class of the tree, and those within it after it."""
    yield f"`{key}`", _about(type(settings)), _rows(settings, f"{key}.")
    if key == "trainer":
        for name, entry in registry.MODELS.items():
            title = f"`trainer.model` with `name: {name}`"
            yield title, _about(entry.settings), _rows(entry.settings(), "trainer.model.")
    for field in dataclasses.fields(settings):
        if _is_section(field):
            yield from _sections_of(getattr(settings, field.name), f"{key}.{field.name}")


def _rows(settings: Any, prefix: str) -> list[Row]:
    kind = type(settings)
    types = typing.get_type_hints(kind, include_extras=True)
    return [
        Row(
            prefix + field.name,
            _plain(getattr(settings, field.name)),
            _values(types[field.name]),
            description_of(kind, field.name),
        )
        for field in dataclasses.fields(settings)
        if not _is_section(field)
    ]


def _is_section(field: dataclasses.Field) -> bool:
    return dataclasses.is_dataclass(field.type) and field.name != "model"


def _about(kind: type) -> str:
    return (kind.__doc__ or "").splitlines()[0]


def _plain(value: Any) -> Any:
    """A default as YAML has it; of a settings class within it, what differs from its own defaults."""
    if dataclasses.is_dataclass(value):
        unset = type(value)()
        names = [field.name for field in dataclasses.fields(value)]
        changed = {name: getattr(value, name) for name in names if getattr(value, name) != getattr(unset, name)}
        return {"name": value.name} | changed if "name" in names else changed
    if isinstance(value, Mapping):
        return {key: _plain(element) for key, element in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _values(kind: Any) -> str:
    """The choices of a type, or its bounds: "`a`, `b`", "≥ 0, ≤ 1"."""
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(kind))
    if typing.get_origin(kind) is typing.Annotated:
        inner, *metadata = typing.get_args(kind)
        return _values(inner) or ", ".join(_bounds(metadata))
    choices = (_values(argument) for argument in typing.get_args(kind))
    return next(filter(None, choices), "")


def _bounds(metadata: list[Any]) -> Iterator[str]:
    for constraint in metadata:
        if isinstance(constraint, pydantic.fields.FieldInfo):
            yield from _bounds(constraint.metadata)
        elif isinstance(constraint, annotated_types.BaseMetadata):
            bounds = ((sign, getattr(constraint, name, None)) for name, sign in _BOUNDS.items())
            yield from (f"{sign} {bound:,}" for sign, bound in bounds if bound is not None)
            if isinstance(constraint, annotated_types.MaxLen):
                yield f"at most {constraint.max_length} characters"


def _table(title: str, about: str, rows: list[Row]) -> str:
    lines = [f"## {title}\n", f"{about}\n", "| key | default | values | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(row.to_markdown() for row in rows), ""])


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True)
    return text.removesuffix("\n...\n").strip()
