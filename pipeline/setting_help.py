"""What each setting means, for the page of all settings and for the errors that name one. Nothing heavy is imported."""

import dataclasses
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import annotated_types
import pydantic
import yaml

from components.shared.models import registry
from components.shared.settings import description_of
from pipeline.config import Config

PAGE = "docs/configuration.md"
_BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
_TYPES = {bool: "true or false", int: "integer", float: "number", str: "text", tuple: "list", dict: "mapping"}
_KEY = r"[a-z_][\w.]*"
# where a message is about a setting: at the beginning, or where it says what an old or a misspelt key should be
_NAMED = re.compile(rf"(?:^|; )(?:--set )?({_KEY})(?=[:=])|did you mean ({_KEY})\?|is now called ({_KEY})")


@dataclasses.dataclass(frozen=True)
class Row:
    """A setting.

    Attributes:
      key: its dotted key.
      type: its type, for people.
      default: its default.
      values: its choices or bounds, for people; empty if its type says it all.
      meaning: its description.
    """

    key: str
    type: str
    default: Any
    values: str
    meaning: str

    def to_markdown(self) -> str:
        """The row of a table."""
        cells = (f"`{self.key}`", f"`{_yaml(self.default)}`", self.values, self.meaning)
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    def to_line(self, model: str = "") -> str:
        """One line of help, without Markdown; the model is named where several have the setting."""
        values = f": {self.values}" if self.type == "one of" else f" {self.values}" if self.values else ""
        if self.type in ("list", "mapping") and self.values:
            values = f" ({self.values})"  # of its keys or elements
        kind = f"{self.type[0].upper()}{self.type[1:]}{values}"
        key = f"{self.key} ({model})" if model else self.key
        return f"{key}: {self.meaning} {kind}; default {_yaml(self.default)}".replace("`", "")


def help_lines(message: str) -> list[str]:
    """One line of help for each setting that an error is about, with the place in the docs that explains it.

    Args:
      message: the error's message; several faults are separated by "; ".
    """
    keys = [key for match in _NAMED.finditer(message) for key in match.groups() if key]
    return [line for key in dict.fromkeys(keys) for line in _lines_of(key)]


def _lines_of(key: str) -> Iterator[str]:
    """The help for a setting, or for the setting that contains it; a key of several models has a line for each."""
    while key:
        places = {title: rows for title, _, rows in sections() if any(row.key == key for row in rows)}
        for title, rows in places.items():
            model = title.rpartition("name: ")[2].rstrip("`") if len(places) > 1 else ""
            yield from (f"{row.to_line(model)}; see {PAGE}#{anchor(title)}" for row in rows if row.key == key)
        sections_named = [(title, about) for title, about, _ in sections() if title == f"`{key}`"]
        yield from (f"{key}: {about} See {PAGE}#{anchor(title)}" for title, about in sections_named)
        if places or sections_named:
            return
        key = key.rpartition(".")[0]


def anchor(title: str) -> str:
    """The anchor of a heading of the page.

    >>> anchor("`trainer.model` with `name: gru`")
    'trainermodel-with-name-gru'
    """
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


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
            _type(types[field.name]),
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
        unset: Any = type(value)()  # type: ignore[misc]
        values = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: each for name, each in values.items() if name == "name" or each != getattr(unset, name)}
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


def _type(kind: Any) -> str:
    """The type of a setting, for people; that of a choice is its choices, which the values name."""
    if typing.get_origin(kind) is typing.Annotated:
        return _type(typing.get_args(kind)[0])
    if typing.get_origin(kind) is typing.Literal:
        return "one of"
    plain = typing.get_origin(kind) or kind
    if plain in _TYPES:
        return _TYPES[plain]
    names = (_type(argument) for argument in typing.get_args(kind) if argument is not type(None))
    return next(names, "settings")


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True)
    return text.removesuffix("\n...\n").strip()
