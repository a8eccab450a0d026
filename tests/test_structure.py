"""The rules about which room may use which, and where places and defaults are written."""

import ast
import pathlib
import re
import subprocess
import sys
from collections.abc import Sequence

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
# where what is private in a library, or meant for its subclasses, is used; `_private_names` finds it
PRIVATE_APIS = {
    "components/bleu_evaluator/meteor.py": "pycocoevalcap",  # one image's statistics
    "components/feature_extractor/export.py": "tensorflow",  # constant folding
    "components/pusher/executor.py": "tfx",  # what the Pusher records
    "components/shared/driver.py": "tfx",  # a driver's connection to ML Metadata
    "components/shared/models/layers.py": "keras",  # the layers at any depth
    "components/shared/step.py": "tfx",  # an executor's log and Beam pipeline
    "components/trainer/adam.py": "keras",  # clipping, moments and the update
    "pipeline/mysql_database.py": "ml-metadata",  # the call that is retried
    "pipeline/operators.py": "tfx",  # a driver's connection to ML Metadata
    "pipeline/reuse.py": "tfx",  # how the launcher publishes an execution
}
# the versions with which all of this was seen to work: look at the files above before another one is pinned
SEEN_WITH = {
    "keras": {"3.12.4", "3.15.1"},
    "ml-metadata": {"1.16.0", "1.21.0"},
    "pycocoevalcap": {"1.2"},
    "tensorflow": {"2.16.2", "2.21.0"},
    "tfx": {"1.16.0", "1.21.0"},
}
# names of settings that classes elsewhere have with a meaning of their own
OWN_NAMES = {"name", "dir", "seed", "train", "eval", "test", "encoding", "columns"}
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


def imported(modules: Sequence[str], forbidden: Sequence[str]) -> str:
    """Which of the forbidden modules a process has imported with others."""
    code = f"import sys, {', '.join(modules)}; print([name for name in {forbidden!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip() or run.stderr


def test_settings_import_nothing_heavy():
    assert imported(LIGHT, HEAVY) == "[]"


def test_captions_splits_and_names_are_read_without_tensorflow():
    assert imported(["components.caption_ingest.dataset"], ("tensorflow", "keras", "tfx", "apache_beam")) == "[]"


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
        twice = _fields_with_defaults(path) & settings.keys() - OWN_NAMES
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


def _private_names(tree: ast.Module) -> set[str]:
    """What is private and is defined elsewhere: attributes of `self`, `super()` and others, and imports."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr):
            is_super = isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "super"
            names |= {node.attr} if is_super or node.attr not in own else set()
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported = [*node.module.split("."), *(alias.name for alias in node.names)]
            is_private = node.module.startswith("tensorflow.python") or any(re.match("_[^_]", n) for n in imported)
            names |= {node.module} if is_private else set()
    return names


def test_what_is_private_in_a_library_stands_in_one_file_per_purpose():
    paths = [path for package in ("components", "pipeline", "kubeflow") for path in (ROOT / package).rglob("*.py")]
    not_of_a_library = {"_is_supported_bmp", "_fill_text", "_SubParsersAction"}  # ours, and of Python's argparse
    names = {str(path.relative_to(ROOT)): _private_names(ast.parse(path.read_text())) for path in paths}
    using = {path for path, private in names.items() if private - not_of_a_library}
    assert using == PRIVATE_APIS.keys()


@pytest.mark.parametrize("library", SEEN_WITH)
def test_private_apis_were_seen_with_the_versions_that_are_pinned(library):
    pins = "\n".join(path.read_text() for path in (ROOT / "constraints").glob("tfx-*.txt"))
    assert set(re.findall(rf"^{library}==([\w.]+)", pins, re.MULTILINE)) == SEEN_WITH[library]
    assert library in PRIVATE_APIS.values()
