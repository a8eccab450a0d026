"""The pusher's executor, as TFX calls it."""

import json
import pathlib
from collections.abc import Callable

import pytest
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from components.pusher.executor import Executor
from components.shared import records
from tests.components.bleu_evaluator.factories import artifact


@pytest.fixture
def push(tmp_path) -> Callable[..., Artifact]:
    """Pushes a model, given by its content, whose blessing is 1 or 0; returns `pushed_model`."""

    def run(graph: bytes, blessed: int = 1, destination: dict | None = None) -> Artifact:
        model = artifact(standard_artifacts.Model, tmp_path / "model")
        (tmp_path / "model" / "Format-Serving").mkdir(exist_ok=True)
        (tmp_path / "model" / "Format-Serving" / "saved_model.pb").write_bytes(graph)
        blessing = artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing")
        blessing.set_int_custom_property("blessed", blessed)
        pushed = artifact(standard_artifacts.PushedModel, tmp_path / f"pushed {graph.decode()}")
        if destination is None:
            destination = {"filesystem": {"base_directory": str(tmp_path / "serving")}}
        inputs = {"model": [model], "model_blessing": [blessing]}
        Executor().Do(inputs, {"pushed_model": [pushed]}, {"push_destination": json.dumps(destination)})
        return pushed

    return run


def versions(tmp_path: pathlib.Path) -> list[tuple[str, bytes]]:
    """The versions in the serving directory, each with its graph."""
    return [(path.name, (path / "saved_model.pb").read_bytes()) for path in sorted((tmp_path / "serving").glob("*"))]


def test_a_blessed_model_is_pushed_and_kept_with_the_run(push, tmp_path):
    pushed = push(b"graph")
    [(version, graph)] = versions(tmp_path)
    assert graph == b"graph" == pathlib.Path(pushed.uri, "saved_model.pb").read_bytes()
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_version") == version
    assert pushed.get_string_custom_property("pushed_destination") == f"{tmp_path}/serving/{version}"
    assert not pushed.has_custom_property(records.DECISION)


def test_a_rejected_model_is_not_pushed(push, tmp_path):
    pushed = push(b"graph", blessed=0)
    assert not (tmp_path / "serving").exists() and not list(pathlib.Path(pushed.uri).iterdir())
    assert pushed.get_int_custom_property("pushed") == 0
    assert not pushed.has_custom_property("pushed_version")


def test_the_model_that_is_served_is_not_pushed_again(push, tmp_path):
    push(b"graph")
    [(version, _)] = versions(tmp_path)
    (tmp_path / "pushed graph" / "saved_model.pb").unlink()
    pushed = push(b"graph")
    assert [name for name, _ in versions(tmp_path)] == [version]
    assert pushed.get_int_custom_property("pushed") == 0
    assert pushed.get_string_custom_property(records.DECISION) == records.UNCHANGED
    assert pushed.get_string_custom_property("pushed_version") == version  # which the lineage leads to
    assert not list(pathlib.Path(pushed.uri).iterdir())


def test_another_model_becomes_a_higher_version(push, tmp_path):
    push(b"graph")
    pushed = push(b"other")
    (first, _), (second, graph) = versions(tmp_path)
    assert int(second) > int(first) and graph == b"other"
    assert pushed.get_string_custom_property("pushed_version") == second


def test_a_destination_that_is_no_directory_is_refused(push):
    with pytest.raises(ValueError, match="push_destination: only a filesystem is supported"):
        push(b"graph", destination={})
