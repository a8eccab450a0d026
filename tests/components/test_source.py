import sys

import pytest

from components.source import source_hash


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "somewhere" / "step"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "work.py").write_text("raise RuntimeError('must not be imported')\n")
    monkeypatch.syspath_prepend(str(folder.parent))
    yield folder
    sys.modules.pop("step", None)


def fresh(*modules):
    source_hash.cache_clear()
    return source_hash(*modules)


def test_every_module_of_a_package_counts(package):
    before = fresh("step")
    (package / "work.py").write_text("x = 1\n")
    assert fresh("step") != before


def test_a_module_alone_is_a_module_alone(package):
    before = fresh("step.work")
    (package / "other.py").write_text("")
    assert fresh("step.work") == before
    assert fresh("step") != fresh("step.work")


def test_the_place_does_not_count_nor_the_order(package, tmp_path, monkeypatch):
    before = fresh("step", "components.atomic")
    package.parent.rename(tmp_path / "elsewhere")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    sys.modules.pop("step", None)
    assert fresh("components.atomic", "step") == before


def test_what_is_not_there_is_an_error():
    with pytest.raises(ModuleNotFoundError):
        fresh("components.nothing")
