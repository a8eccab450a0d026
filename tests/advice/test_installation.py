"""What errors of the setup advise, done; what it installs needs a network, and is not tried."""

import sys

import pytest

from constraints import install
from tests.messages import refusal

GLIBC = "ldd (Debian GLIBC 2.41-12) 2.41"


def test_each_of_the_sets_that_are_named_is_chosen():
    with refusal("TFX=…: there is no such set; there are …") as advice:
        install.choose("1.17", GLIBC)
    for name in advice[1].split(", "):
        assert install.choose(name, GLIBC)[0] is install.SETS[name]


def test_the_older_set_needs_no_compiler(monkeypatch):
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    with refusal(
        "… compiles … while it is installed, and … can't be found; on Debian and Ubuntu: apt install g++ python3-dev. "
        "TFX=1.16 needs neither."
    ):
        install._check_compiler(install.SETS["1.21"])
    package_set, _ = install.choose("1.16", GLIBC)
    assert not package_set.compiled


def test_a_system_with_glibc_that_is_new_enough_is_supported():
    with refusal("TFX needs Linux with glibc, and `ldd --version` says …"):
        install.choose("", "musl libc (x86_64)")
    with refusal("the C library here is glibc …") as advice:
        install.choose("", "ldd (GNU libc) 2.17")
    assert "TFX 1.16 needs 2.28" in advice[0]
    assert install.choose("", "ldd (GNU libc) 2.28")[0] is install.SETS["1.16"]


def test_a_newer_python_starts_the_setup(monkeypatch, capsys):
    monkeypatch.setattr(install, "install", lambda *arguments: 0)
    monkeypatch.setattr(install.sys, "version_info", (3, 8))
    assert install.main() == 1
    assert f"Python 3.9 or later is needed to begin with, and {sys.executable} is older" in capsys.readouterr().err


@pytest.mark.parametrize("name", install.SETS)
def test_a_set_is_chosen_by_its_name(name):
    assert install.choose(name, GLIBC)[1] == f"chosen by TFX={name}"
