"""The rules about which room may use which, and where places and defaults are written."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

from tests.factories import ROOT

STEPS = sorted(path.parent.name for path in (ROOT / "components").glob("*/__init__.py") if path.parent.name != "shared")
LIGHT = [
    *(f"components.{step}.settings" for step in STEPS if (ROOT / "components" / step / "settings.py").exists()),
    "components.shared.models.registry",
    "pipeline.config_files",
    "pipeline.paths",
]
HEAVY = ("tensorflow", "keras", "tfx", "apache_beam", "numpy", "PIL")
PLACES = ("metadata.sqlite", "artifacts", "serving", "sample_data", "store", "runs", "summary.json", "statistics.html")


def imports(path: pathlib.Path) -> set[str]:
    """The modules of the project that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.split(".")[0] in ("components", "pipeline", "captions_kubeflow")}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_imports_its_own_folder_and_the_shared_modules_alone(step):
    for path in (ROOT / "components" / step).rglob("*.py"):
        for name in imports(path) - {"components"}:
            parts = name.split(".")
            assert parts[0] == "components" and parts[1] in (step, "shared"), f"{path} imports {name}"


def test_shared_modules_import_no_step():
    for path in (ROOT / "components" / "shared").rglob("*.py"):
        for name in imports(path) - {"components"}:
            assert name.startswith("components.shared"), f"{path} imports {name}"


def test_settings_import_nothing_heavy():
    code = f"import sys, {', '.join(LIGHT)}; print([name for name in {HEAVY!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


def test_places_below_a_root_are_spelled_in_one_file():
    """A place is a part of a path that is joined to a root: `os.path.join(root, "serving")`, or `root / "serving"`."""
    joined = re.compile(rf"(join\([^)]*|/ ){'[' + chr(34) + chr(39) + ']'}({'|'.join(map(re.escape, PLACES))})[\"'/]")
    for package in ("components", "pipeline", "kubeflow"):
        for path in (ROOT / package).rglob("*.py"):
            if path != ROOT / "pipeline" / "paths.py":
                for number, line in enumerate(path.read_text().splitlines(), start=1):
                    assert not joined.search(line), f"{path}:{number}: {line.strip()}"
                    assert "metadata.sqlite" not in line, f"{path}:{number}: {line.strip()}"


def test_no_settings_class_is_declared_twice():
    """Fields with a default and the name of a setting stand in the settings files alone."""
    settings: dict[str, str] = {}
    for path in [*(ROOT / "components").rglob("*settings.py"), ROOT / "pipeline" / "config.py"]:
        for name in _fields_with_defaults(path):
            settings.setdefault(name, str(path))
    for path in (ROOT / "components").rglob("*.py"):
        if path.name.endswith("settings.py"):
            continue
        twice = _fields_with_defaults(path) & settings.keys() - {"name", "dir", "seed", "train", "eval", "test"}
        assert not twice, f"{path}: {twice}"


def _fields_with_defaults(path: pathlib.Path) -> set[str]:
    """Names of the fields that classes of a file declare with a default."""
    return {
        node.target.id
        for definition in ast.walk(ast.parse(path.read_text()))
        if isinstance(definition, ast.ClassDef)
        for node in definition.body
        if isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name)
    }
