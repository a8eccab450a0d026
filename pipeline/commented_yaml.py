"""Settings as YAML that says why each value was chosen."""

import dataclasses
import json
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import yaml

WIDTH = 100  # columns of comments


@dataclasses.dataclass(frozen=True)
class Setting:
    """One line of the file, and why.

    Attributes:
      key: the setting.
      value: its value.
      reason: the comment above it; "" for a value that goes with the one before.
    """

    key: str
    value: Any
    reason: str = ""


def render(settings: Sequence[Setting], header: Sequence[str]) -> str:
    """Writes the settings as YAML, each after its reason.

    Args:
      settings: the settings; those of one section follow one another.
      header: paragraphs for the head of the file.
    """
    lines = [line for paragraph in header for line in _comment(paragraph, "")]
    sections: list[str] = []
    for setting in settings:
        *path, key = setting.key.split(".")
        for depth, section in enumerate(path):
            if sections[depth : depth + 1] != [section]:
                sections[depth:] = [section]
                lines.append(f"{'  ' * depth}{section}:")
        sections[len(path) :] = []
        indent = "  " * len(path)
        lines += _comment(setting.reason, indent) if setting.reason else []
        lines.append(f"{indent}{key}: {_scalar(setting.value)}")
    return "\n".join(lines) + "\n"


def _comment(text: str, indent: str) -> list[str]:
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, WIDTH - len(indent)) or [""]]
    return [f"{indent}# {line}".rstrip() for line in lines]


def _scalar(value: Any) -> str:
    """A value as YAML in one line; a text is quoted where it would be read as something else."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    is_plain = re.fullmatch(r"[\w./-]+", text, re.ASCII) and yaml.safe_load(text) == value
    return text if is_plain else json.dumps(value, ensure_ascii=False)
