import importlib.metadata
import os
import re
import sysconfig

import pytest

from constraints import install
from tests.material import ROOT

SET = install.SETS["1.16"]


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A directory that looks like this repository, where nothing is installed."""
    (tmp_path / "constraints").mkdir()
    (tmp_path / "constraints" / SET.file).write_text("six==1.17.0\n")
    (tmp_path / "setup.py").write_text("")
    monkeypatch.setattr(install, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def commands(repository, monkeypatch):
    """Notes what would be run instead of running it: installing takes a registry and a minute."""
    noted = []

    def run(command, environment):
        noted.append(command)
        if "venv" in command:
            (repository / ".venv").mkdir(exist_ok=True)
        return 0

    monkeypatch.setattr(install, "_run", run)
    monkeypatch.setattr(install, "_uv", lambda: "uv")
    return noted


def test_what_is_installed_is_not_installed_again(commands):
    install.install(SET)
    assert len(commands) == 2
    install.install(SET)
    assert len(commands) == 2


@pytest.mark.parametrize("file", [f"constraints/{SET.file}", "setup.py"])
def test_another_set_makes_the_environment_anew(commands, repository, file):
    install.install(SET)
    (repository / file).write_text("changed")
    install.install(SET)
    assert len(commands) == 4
    assert "--clear" in commands[2]


def test_an_installation_that_broke_off_is_made_anew(commands, repository, monkeypatch):
    note = install._run
    monkeypatch.setattr(install, "_run", lambda command, environment: note(command, environment) or "pip" in command)
    with pytest.raises(install.CannotInstall, match="a package could not be installed"):
        install.install(SET)
    monkeypatch.setattr(install, "_run", note)
    install.install(SET)
    assert len(commands) == 4


def test_a_missing_python_is_said_with_ways_to_get_it(repository, monkeypatch, capsys):
    monkeypatch.setattr(install, "_uv", lambda: "uv")
    monkeypatch.setattr(install, "_run", lambda command, environment: 2)
    assert install.main() == 1
    message = capsys.readouterr().err
    assert "no Python 3.10 was found" in message and "pyenv install 3.10" in message


def test_pyenvs_own_pythons_are_found_instead_of_its_shims(tmp_path, monkeypatch):
    for version in ("3.9.1", "3.10.2", "3.10.13", "3.100.1"):
        (tmp_path / "versions" / version / "bin").mkdir(parents=True)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "shims"), "/usr/bin"]))
    assert install.search_path("3.10").split(os.pathsep) == [
        str(tmp_path / "versions" / "3.10.13" / "bin"),
        str(tmp_path / "versions" / "3.10.2" / "bin"),
        "/usr/bin",
    ]


def test_the_set_pins_every_package_that_is_installed():
    pins = dict(line.split("==") for line in (ROOT / "constraints" / SET.file).read_text().splitlines() if "==" in line)
    distributions = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
    installed = {re.sub(r"[-_.]+", "-", each.name).lower(): each.version for each in distributions}
    installed.pop("caption-pipeline")
    assert {name: pins.get(name) for name in installed} == installed


def test_the_set_holds_no_address():
    text = (ROOT / "constraints" / SET.file).read_text()
    assert "://" not in text and "--" not in text
