"""What changes a step's identity, and what does not."""

import functools
import hashlib
import pathlib
import shutil
import subprocess
import sys

import pytest

from components.shared import code_identity as code_identity_module
from components.shared.code_identity import (
    CodeChangedError,
    behavior,
    check_identity,
    code_identity,
    identity_below,
    modules_used,
)
from tests.factories import ROOT

STEPS = {
    "CaptionIngest": "components.caption_ingest.executor",
    "ExampleValidator": "components.example_validator.executor",
    "FeatureExtractor": "components.feature_extractor.executor",
    "Transform": "components.tokenizer.preprocessing",
    "Trainer": "components.trainer.executor",
    "Exporter": "components.exporter.executor",
    "BleuEvaluator": "components.bleu_evaluator.executor",
    "Pusher": "components.pusher.executor",
    "Report": "components.report.executor",
}
SHARED = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "components" / "shared").rglob("*.py")
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1", "x = 1  # one"),
        ("x = 1\ny = 2", "x = 1\n\n\ny = (2)"),
        ("def f():\n    return 1", 'def f():\n    """Returns one."""\n    return 1'),
        ("class A:\n    x: int = 1", 'class A:\n    x: int = 1\n    """Number of things."""'),
        ("logging.info('%d of them', n)", "logging.info('%d images', n)"),
        ("LOGGER.warning(f'{n} of them')", "LOGGER.warning(f'{n} images')"),
        ("import a\nif TYPE_CHECKING:\n    import b", "import a"),
        ("import a\nif typing.TYPE_CHECKING:\n    import b", "import a"),
        ("if TYPE_CHECKING:\n    import b\nelse:\n    import c\n    x = 1", "import c\nx = 1"),
    ],
)
def test_comments_docstrings_blanks_and_the_wording_of_logs_do_not_count(before, after):
    assert behavior(before) == behavior(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1", "x = 2"),
        ("x = 'a'", "x = 'b'"),
        ("x = 1", "x = True"),
        ("def f(a, b): pass", "def f(b, a): pass"),
        ("x = a + b", "x = a - b"),
        ("raise ValueError('no')", "raise ValueError('none')"),
        ("logging.info('%d', n)", "logging.info('%d', m)"),
        ("print('a')", "print('b')"),
        ("x = f'{n}a'", "x = f'{n}b'"),
        ("x = f'{n:.2f}'", "x = f'{n:.3f}'"),
        ("if TYPE_CHECKING:\n    import b\nelse:\n    x = 1", "if TYPE_CHECKING:\n    import b\nelse:\n    x = 2"),
    ],
)
def test_logic_counts(before, after):
    assert behavior(before) != behavior(after)


def test_the_identity_is_the_same_on_every_version_of_python():
    source = (pathlib.Path(__file__).parent / "syntax_sample.txt").read_text()
    assert hashlib.sha256(behavior(source).encode()).hexdigest()[:16] == "5917e692cd886a98"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the components, whose files may be edited."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "components", root / "components", ignore=shutil.ignore_patterns("__pycache__"))
    return root


def identities(root: pathlib.Path) -> dict[str, str]:
    return {step: identity_below(root, [module]) for step, module in STEPS.items()}


@functools.cache
def users(module: str) -> frozenset[str]:
    """The steps that use a module."""
    name = module.removesuffix(".__init__")
    return frozenset(step for step, entry in STEPS.items() if name in modules_used(ROOT, [entry]))


def file_of(root: pathlib.Path, module: str) -> pathlib.Path:
    return root.joinpath(*module.split(".")).with_suffix(".py")


@pytest.mark.parametrize("module", SHARED)
def test_a_comment_or_a_docstring_in_a_shared_module_changes_no_step(project, module):
    path = file_of(project, module)
    original, before = path.read_text(), identities(project)
    path.write_text(f"# another comment\n{original}\n# and one more\n".replace('"""', '"""Another word: ', 1))
    assert identities(project) == before
    path.write_text(original)


@pytest.mark.parametrize("module", SHARED)
def test_logic_in_a_shared_module_changes_just_the_steps_that_use_it(project, module):
    path = file_of(project, module)
    original, before = path.read_text(), identities(project)
    path.write_text(f"{original}\n\ndef added():\n    return 1\n")
    after = identities(project)
    path.write_text(original)
    assert {step for step in STEPS if after[step] != before[step]} == users(module)


@pytest.mark.parametrize("step", STEPS)
def test_logic_in_any_module_of_its_own_folder_changes_a_step(project, step):
    entry = STEPS[step]
    used = modules_used(project, [entry])
    own = {name: path for name, path in used.items() if name.startswith(entry.rpartition(".")[0] + ".")}
    assert entry in own
    for module, path in own.items():
        original, before = path.read_text(), identity_below(project, [entry])
        path.write_text(f"{original}\nADDED = 1\n")
        assert identity_below(project, [entry]) != before, module
        path.write_text(original)


def test_a_template_of_the_report_counts(project):
    template = project / "components" / "report" / "report.html.j2"
    original, before = template.read_text(), identities(project)
    template.write_text(original + " ")
    after = identities(project)
    template.write_text(original)
    assert {step for step in STEPS if after[step] != before[step]} == {"Report"}


def test_a_module_outside_of_the_project_has_an_identity_too(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = identity_below(ROOT, ["my_models"])
    (tmp_path / "my_models.py").write_text("x = 2\n")
    assert identity_below(ROOT, ["my_models"]) != before
    sys.modules.pop("my_models", None)


IMPORTS = ["from mymodels import helper", "import mymodels.helper", "from . import helper", "from .helper import x"]


@pytest.mark.parametrize("line", IMPORTS)
def test_the_imports_of_a_module_outside_of_the_project_are_followed(tmp_path, monkeypatch, line):
    package = tmp_path / "mymodels"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cap.py").write_text(f"import numpy\n{line}\nfrom components.shared import records\n")
    (package / "helper.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    used = modules_used(ROOT, ["mymodels.cap"])
    assert {"mymodels.helper", "mymodels", "components.shared.records"} <= used.keys() and "numpy" not in used


@pytest.mark.parametrize("model", ["captioner", "captioners.gru"])
def test_the_neighbors_of_a_model_outside_of_the_project_are_followed(tmp_path, monkeypatch, model):
    imports = "import numpy\nimport blocks.attention\ndef f():\n    from beside import x\n"
    path = tmp_path.joinpath(*model.split(".")).with_suffix(".py")
    for name in ("blocks", *path.relative_to(tmp_path).parts[:-1]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    path.write_text(imports)
    (tmp_path / "blocks" / "attention.py").write_text("import below\n")
    for name in ("beside", "below", "unused"):
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    expected = {model, model.partition(".")[0], "blocks", "blocks.attention", "beside", "below"}
    assert modules_used(ROOT, [model]).keys() == expected
    before = identity_below(ROOT, [model])
    (tmp_path / "unused.py").write_text("x = 2\n")
    assert identity_below(ROOT, [model]) == before
    (tmp_path / "below.py").write_text("x = 2\n")
    assert identity_below(ROOT, [model]) != before


def test_the_neighbors_of_an_installed_model_are_not_followed(tmp_path, monkeypatch):
    (tmp_path / "installed_captioner.py").write_text("import installed_library\n")
    (tmp_path / "installed_library.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(code_identity_module, "INSTALLED", {tmp_path.resolve()})
    assert modules_used(ROOT, ["installed_captioner"]).keys() == {"installed_captioner"}


def test_relative_imports_of_packages_are_followed(tmp_path, monkeypatch):
    package = tmp_path / "yourmodels"
    (package / "parts").mkdir(parents=True)
    (package / "__init__.py").write_text("from .cap import x\n")
    (package / "cap.py").write_text("from .parts import layers\nx = 1\n")
    (package / "parts" / "__init__.py").touch()
    (package / "parts" / "layers.py").write_text("from ..common import y\n")
    (package / "common.py").write_text("y = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ["", ".cap", ".parts", ".parts.layers", ".common"]
    assert modules_used(ROOT, ["yourmodels"]).keys() == {f"yourmodels{name}" for name in names}


def test_a_missing_module_is_an_error():
    with pytest.raises(ModuleNotFoundError, match=r"components\.nothing"):
        code_identity("components.nothing")


EDIT = """
import pathlib

import components  # reads all code
from components.shared.code_identity import code_identity

step = "components.caption_ingest.names"
from components.caption_ingest import names
before = code_identity(step)
for name in ("names.py", "spans.py"):
    path = pathlib.Path("components/caption_ingest", name)
    path.write_text(path.read_text() + "\\nADDED = 1\\n")
code_identity.cache_clear()
print(code_identity(step) == before, hasattr(names, "ADDED"))
try:
    from components.caption_ingest import spans
except RuntimeError as error:
    print(error)
"""


def test_code_that_is_edited_while_a_run_goes_is_neither_hashed_nor_imported(tmp_path):
    shutil.copytree(ROOT / "components", tmp_path / "components", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-c", EDIT]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env={"PYTHONPATH": "."})
    identity, error = run.stdout.splitlines()
    assert identity == "True False"  # what was imported is what is hashed
    assert error == f"{tmp_path / 'components/caption_ingest/spans.py'} was edited while this process runs; run again"


def test_a_worker_with_other_code_is_an_error():
    check_identity(code_identity("components.shared.settings"), "components.shared.settings")
    with pytest.raises(CodeChangedError, match=r"the code of components\.shared\.settings was edited"):
        check_identity("0123456789abcdef", "components.shared.settings")
