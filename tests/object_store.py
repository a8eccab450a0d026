"""What tests see of the requests to a bucket."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from components.shared import object_store


def recorded_requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the operations on a bucket, which are added as they are made."""
    made: list[str] = []

    def record(name: str, operation: Callable[..., Any], *args: Any) -> Any:
        made.append(name)
        return operation(*args)

    operations = ("stat", "list_tree", "list_directory", "download", "upload", "read_bytes", "write_bytes", "remove")
    for name in operations:
        monkeypatch.setattr(object_store, name, functools.partial(record, name, getattr(object_store, name)))
    return made
