"""The rules about which room may use which, and that a step's source hash covers all that it uses."""

import ast
import importlib
import inspect
import pathlib

import pytest

from tests.material import ROOT

STEPS = sorted(path.parent.name for path in (ROOT / "components").glob("*/__init__.py"))
HASHED = {
    "caption_ingest": "CaptionIngest",
    "example_validator": "ExampleValidator",
    "feature_extractor": "FeatureExtractor",
    "trainer": "Trainer",
    "bleu_evaluator": "BleuEvaluator",
    "report": "Report",
}


def imports(path: pathlib.Path) -> set[str]:
    """The modules of our own that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module in ("components", "pipeline"):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            else:
                found |= {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("components", "pipeline", "local_runner")}


def files(*parts: str) -> list[pathlib.Path]:
    return sorted(ROOT.joinpath("components", *parts).glob("*.py"))


@pytest.mark.parametrize("step", STEPS)
def test_a_step_uses_its_own_folder_and_the_shared_files_alone(step):
    for path in files(step):
        for name in imports(path):
            room = name.split(".")[1] if name.startswith("components.") else name
            assert room == step or room not in STEPS, f"{path} imports {name}"
            assert name.startswith("components."), f"{path} imports {name}"


def test_shared_files_use_no_step():
    for path in files():
        for name in imports(path):
            assert name.startswith("components.") and name.split(".")[1] not in STEPS, f"{path} imports {name}"


def module_of(name: str) -> str:
    """`components.records.IMAGE_ID`-like names -> their module."""
    parts = name.split(".")
    return ".".join(parts[:2])


@pytest.mark.parametrize("step", HASHED)
def test_the_source_hash_covers_all_that_a_step_uses(step):
    component = getattr(importlib.import_module(f"components.{step}.component"), HASHED[step])
    used, waiting = set(), {f"components.{step}"}
    while waiting:
        module = waiting.pop()
        used.add(module)
        name = module.split(".")[1]
        paths = files(name) if name in STEPS else [ROOT / "components" / f"{name}.py"]
        # the component's own file builds the hash: what only it uses does not change what a step puts out
        waiting |= {module_of(i) for path in paths if path.name != "component.py" for i in imports(path)} - used
    assert used <= set(component.SOURCE), "add what is missing to SOURCE"
    assert inspect.isclass(component)
