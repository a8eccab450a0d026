import importlib.metadata
import os
import re
import sysconfig

import pytest

from constraints import install
from tests.material import ROOT

SET = install.SETS["1.16"]
NEW = install.SETS["1.21"]
BOOKWORM, NOBLE = "ldd (Debian GLIBC 2.36-9+deb12u13) 2.36", "ldd (Ubuntu GLIBC 2.39-0ubuntu8.6) 2.39"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A directory that looks like this repository, where nothing is installed."""
    (tmp_path / "constraints").mkdir()
    for each in install.SETS.values():
        (tmp_path / "constraints" / each.file).write_text("six==1.17.0\n")
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


@pytest.mark.parametrize(
    "asked, library, wanted, why",
    [
        ("", BOOKWORM, "1.16", "glibc 2.36; TFX 1.21 needs 2.38"),
        ("", "ldd (GNU libc) 2.38", "1.21", "glibc 2.38"),
        ("", NOBLE, "1.21", "glibc 2.39"),
        ("", "ldd (GNU libc) 3.0", "1.21", "glibc 3.0"),
        ("1.16", NOBLE, "1.16", "TFX=1.16 asks for it"),
        ("1.21", NOBLE, "1.21", "TFX=1.21 asks for it"),
    ],
)
def test_the_set_is_chosen_by_the_c_library_unless_asked_for(asked, library, wanted, why):
    chosen, reason = install.choose(asked, library)
    assert chosen == install.SETS[wanted] and why in reason


@pytest.mark.parametrize(
    "asked, library, why",
    [
        ("1.21", BOOKWORM, "glibc 2.36; TFX 1.21 needs 2.38"),
        ("", "ldd (GNU libc) 2.5", "TFX 1.21 needs 2.38; TFX 1.16 needs 2.28"),
        ("1.17", NOBLE, "no such set; there are 1.21, 1.16"),
        ("", "musl libc (x86_64)", "TFX needs Linux with glibc"),
        ("", "", "TFX needs Linux with glibc"),
    ],
)
def test_what_cannot_be_installed_is_refused_with_the_reason(asked, library, why):
    with pytest.raises(install.CannotInstall, match=re.escape(why)):
        install.choose(asked, library)


def test_the_c_library_is_asked_of_ldd(tmp_path, monkeypatch):
    (tmp_path / "ldd").write_text(f"#!/bin/sh\necho '{NOBLE}'\necho more\n")
    (tmp_path / "ldd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert install.c_library() == NOBLE
    monkeypatch.setenv("PATH", "")
    assert install.c_library() == ""


def test_an_old_python_is_told_so(monkeypatch, capsys):
    monkeypatch.setattr(install.sys, "version_info", (3, 8, 10))
    assert install.main() == 1
    assert "Python 3.9 or later is needed to begin with" in capsys.readouterr().err


def test_the_variable_reaches_the_choice(monkeypatch, capsys):
    monkeypatch.setenv("TFX", "0.1")
    assert install.main() == 1
    assert "TFX=0.1: there is no such set" in capsys.readouterr().err


def test_what_is_installed_is_not_installed_again(commands):
    install.install(SET, "why")
    assert len(commands) == 2
    install.install(SET, "why")
    assert len(commands) == 2


@pytest.mark.parametrize("file", [f"constraints/{SET.file}", "setup.py"])
def test_another_set_makes_the_environment_anew(commands, repository, file):
    install.install(SET, "why")
    (repository / file).write_text("changed")
    install.install(SET, "why")
    assert len(commands) == 4
    assert "--clear" in commands[2]


def test_a_change_of_set_makes_the_environment_anew(commands, monkeypatch):
    monkeypatch.setattr(install, "_check_compiler", lambda wanted: None)  # there is no Python here to ask
    for wanted in (SET, NEW, SET):
        install.install(wanted, "why")
    assert [command for command in commands if "--clear" in command] == commands[::2]
    assert [command[-1].split("/")[-1] for command in commands[1::2]] == [SET.file, NEW.file, SET.file]


@pytest.mark.parametrize(
    "has_compiler, has_headers, missing",
    [(False, True, "a C++ compiler"), (True, False, "headers"), (False, False, "a C++ compiler and Python's headers")],
)
def test_what_compiling_lacks_is_named(repository, monkeypatch, has_compiler, has_headers, missing):
    bin_dir, include = repository / ".venv" / "bin", repository / "include"
    bin_dir.mkdir(parents=True)
    include.mkdir()
    (bin_dir / "python").write_text(f"#!/bin/sh\necho {include}\n")
    (bin_dir / "python").chmod(0o755)
    if has_headers:
        (include / "Python.h").touch()
    monkeypatch.setattr(install.shutil, "which", lambda name: name if has_compiler else None)
    with pytest.raises(install.CannotInstall, match=re.escape(missing)) as caught:
        install._check_compiler(NEW)
    assert "pyfarmhash" in str(caught.value) and "apt install g++ python3-dev" in str(caught.value)
    (include / "Python.h").touch()
    monkeypatch.setattr(install.shutil, "which", lambda name: name)
    install._check_compiler(NEW)


def test_an_installation_that_broke_off_is_made_anew(commands, repository, monkeypatch):
    note = install._run
    monkeypatch.setattr(install, "_run", lambda command, environment: note(command, environment) or "pip" in command)
    with pytest.raises(install.CannotInstall, match="a package could not be installed"):
        install.install(SET, "why")
    monkeypatch.setattr(install, "_run", note)
    install.install(SET, "why")
    assert len(commands) == 4


def test_a_missing_python_is_said_with_ways_to_get_it(repository, monkeypatch, capsys):
    monkeypatch.setattr(install, "_uv", lambda: "uv")
    monkeypatch.setattr(install, "_run", lambda command, environment: 2)
    monkeypatch.setenv("TFX", "1.16")
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


def pins(wanted: install.PackageSet) -> dict[str, str]:
    lines = (ROOT / "constraints" / wanted.file).read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def test_the_set_pins_every_package_that_is_installed():
    distributions = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
    installed = {re.sub(r"[-_.]+", "-", each.name).lower(): each.version for each in distributions}
    installed.pop("caption-pipeline")
    [pinned] = [pins(each) for each in install.SETS.values() if pins(each)["tfx"] == installed["tfx"]]
    assert {name: pinned.get(name) for name in installed} == installed


@pytest.mark.parametrize("wanted", install.SETS.values(), ids=install.SETS)
def test_a_set_holds_no_address(wanted):
    text = (ROOT / "constraints" / wanted.file).read_text()
    assert "://" not in text and "--" not in text


def test_both_sets_bring_the_same_tools():
    tools = ("mypy", "pytest", "ruff")
    old, new = pins(SET), pins(NEW)
    assert [old[tool] for tool in tools] == [new[tool] for tool in tools]
