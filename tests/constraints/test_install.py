import importlib.metadata
import itertools
import os
import re
import runpy
import shutil
import sysconfig

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from constraints import install
from tests.factories import ROOT

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
    """Records what would be run instead of running it: installing takes a registry and a minute."""
    recorded = []

    def run(command, environment):
        recorded.append(command)
        if "venv" in command:  # with --clear
            shutil.rmtree(repository / ".venv", ignore_errors=True)
            (repository / ".venv").mkdir()
        return 0

    monkeypatch.setattr(install, "_run", run)
    monkeypatch.setattr(install, "_uv", lambda: "uv")
    return recorded


@pytest.mark.parametrize(
    "requested, library, name, reason",
    [
        ("", BOOKWORM, "1.16", "glibc 2.36; TFX 1.21 needs 2.38"),
        ("", "ldd (GNU libc) 2.38", "1.21", "glibc 2.38"),
        ("", NOBLE, "1.21", "glibc 2.39"),
        ("", "ldd (GNU libc) 3.0", "1.21", "glibc 3.0"),
        ("1.16", NOBLE, "1.16", "chosen by TFX=1.16"),
        ("1.21", NOBLE, "1.21", "chosen by TFX=1.21"),
    ],
)
def test_the_set_is_chosen_by_the_c_library_unless_requested(requested, library, name, reason):
    chosen, text = install.choose(requested, library)
    assert chosen == install.SETS[name] and reason in text


@pytest.mark.parametrize(
    "requested, library, reason",
    [
        ("1.21", BOOKWORM, "glibc 2.36; TFX 1.21 needs 2.38"),
        ("", "ldd (GNU libc) 2.5", "TFX 1.21 needs 2.38; TFX 1.16 needs 2.28"),
        ("1.17", NOBLE, "no such set; there are 1.21, 1.16"),
        ("", "musl libc (x86_64)", "TFX needs Linux with glibc"),
        ("", "", "TFX needs Linux with glibc"),
    ],
)
def test_what_cannot_be_installed_is_refused_with_the_reason(requested, library, reason):
    with pytest.raises(install.InstallError, match=re.escape(reason)):
        install.choose(requested, library)


def test_the_c_library_is_asked_of_ldd(tmp_path, monkeypatch):
    (tmp_path / "ldd").write_text(f"#!/bin/sh\necho '{NOBLE}'\necho more\n")
    (tmp_path / "ldd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert install.c_library() == NOBLE
    monkeypatch.setenv("PATH", "")
    assert install.c_library() == ""


def test_an_old_python_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(install.sys, "version_info", (3, 8, 10))
    assert install.main() == 1
    assert "Python 3.9 or later is needed to begin with" in capsys.readouterr().err


def test_the_variable_reaches_the_choice(monkeypatch, capsys):
    monkeypatch.setenv("TFX", "0.1")
    assert install.main() == 1
    assert "TFX=0.1: there is no such set" in capsys.readouterr().err


@pytest.mark.parametrize("works", [True, False])
def test_the_chosen_set_is_kept_until_another_is_chosen(commands, repository, monkeypatch, works):
    """As `make run TFX=1.16` and then `make test` where both sets can run, also after an installation that failed."""
    record = install._run
    monkeypatch.setattr(
        install, "_run", lambda command, environment: record(command, environment) or (not works and "pip" in command)
    )
    monkeypatch.setattr(install, "_check_compiler", lambda package_set: None)
    monkeypatch.setattr(install, "c_library", lambda: NOBLE)
    installed = []
    for variable in ("", "1.16", "", "1.21", ""):
        monkeypatch.setenv("TFX", variable)
        assert install.main() == int(not works)
        installed.append(commands[-1][commands[-1].index("--constraints") + 1].rpartition("/")[2])
    assert installed == [NEW.file, SET.file, SET.file, NEW.file, NEW.file]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_each_stage_is_shown_and_uvs_progress_on_a_terminal(commands, monkeypatch, capsys, is_terminal):
    monkeypatch.setattr(install.sys.stderr, "isatty", lambda: is_terminal)
    install.install(SET, "the reason")
    environment, packages, done = capsys.readouterr().out.splitlines()
    assert environment == "setup: TFX 1.16 with Python 3.10 into .venv, about a minute (the reason)"
    assert packages == f"setup: downloading, installing and compiling the packages of constraints/{SET.file}"
    assert done == "setup: done"
    assert ("--quiet" in commands[-1]) != is_terminal
    install.install(SET, "the reason")
    assert capsys.readouterr().out == ""  # there is nothing to do


def test_what_is_installed_is_not_installed_again(commands):
    install.install(SET, "reason")
    assert len(commands) == 2
    install.install(SET, "reason")
    assert len(commands) == 2


@pytest.mark.parametrize("file", [f"constraints/{SET.file}", "setup.py"])
def test_another_set_recreates_the_environment(commands, repository, file):
    install.install(SET, "reason")
    (repository / file).write_text("changed")
    install.install(SET, "reason")
    assert len(commands) == 4
    assert "--clear" in commands[2]


def test_a_change_of_set_recreates_the_environment(commands, monkeypatch):
    monkeypatch.setattr(install, "_check_compiler", lambda package_set: None)  # there is no Python here to ask
    for package_set in (SET, NEW, SET):
        install.install(package_set, "reason")
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
    with pytest.raises(install.InstallError, match=re.escape(missing)) as caught:
        install._check_compiler(NEW)
    assert "pyfarmhash" in str(caught.value) and "apt install g++ python3-dev" in str(caught.value)
    (include / "Python.h").touch()
    monkeypatch.setattr(install.shutil, "which", lambda name: name)
    install._check_compiler(NEW)


def test_an_installation_that_failed_is_repeated(commands, repository, monkeypatch):
    record = install._run
    monkeypatch.setattr(install, "_run", lambda command, environment: record(command, environment) or "pip" in command)
    with pytest.raises(install.InstallError, match="a package could not be installed"):
        install.install(SET, "reason")
    monkeypatch.setattr(install, "_run", record)
    install.install(SET, "reason")
    assert len(commands) == 4


def test_a_missing_python_is_named_with_ways_to_get_it(repository, monkeypatch, capsys):
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


def pins(package_set: install.PackageSet) -> dict[str, str]:
    lines = (ROOT / "constraints" / package_set.file).read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def test_the_set_pins_every_package_that_is_installed():
    distributions = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
    installed = {re.sub(r"[-_.]+", "-", each.name).lower(): each.version for each in distributions}
    installed.pop("caption-pipeline")
    [pinned] = [pins(each) for each in install.SETS.values() if pins(each)["tfx"] == installed["tfx"]]
    assert {name: pinned.get(name) for name in installed} == installed


@pytest.mark.parametrize("package_set", install.SETS.values(), ids=install.SETS)
def test_a_set_pins_every_package_that_setup_py_names_within_its_bounds(package_set, monkeypatch):
    """Also the set that is not installed here."""
    declared = {}
    monkeypatch.setattr(setuptools, "setup", lambda **metadata: declared.update(metadata))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    requirements = [*declared["install_requires"], *itertools.chain(*declared["extras_require"].values())]
    pinned = pins(package_set)
    for requirement in map(Requirement, requirements):
        version = pinned.get(canonicalize_name(requirement.name), "")
        assert version and version in requirement.specifier, f"{requirement}: {version or 'not pinned'}"


@pytest.mark.parametrize("package_set", install.SETS.values(), ids=install.SETS)
def test_a_set_contains_no_address(package_set):
    text = (ROOT / "constraints" / package_set.file).read_text()
    assert "://" not in text and "--" not in text


def test_both_sets_bring_the_same_tools():
    tools = ("mypy", "pytest", "ruff")
    old, new = pins(SET), pins(NEW)
    assert [old[tool] for tool in tools] == [new[tool] for tool in tools]
