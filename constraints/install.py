"""Makes .venv: chooses a set of packages, finds a Python for it, and installs it, pinned to the last package.

    python3 constraints/install.py              the newest set that the system's C library can run
    TFX=1.16 python3 constraints/install.py     this set

Run by `make` before anything else, with whatever Python 3 the system has; it does nothing when all is in place.
"""

from __future__ import annotations  # so that an older Python gets as far as the message about it

import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import venv

UV = "uv==0.13.9"
ROOT = pathlib.Path(__file__).resolve().parent.parent


class CannotInstall(Exception):
    """The environment can't be made; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class PackageSet:
    """A tested set of packages.

    Attributes:
      name: what it is called, "TFX 1.21".
      file: its pins, in this directory.
      python: the version that it is pinned for.
      glibc: least version of the C library that its wheels run on, (major, minor).
      compiled: packages without a wheel, which want a C++ compiler and Python's headers.
    """

    name: str
    file: str
    python: str
    glibc: tuple[int, int]
    compiled: tuple[str, ...] = ()


# the newest first
SETS = {
    "1.21": PackageSet("TFX 1.21", "tfx-1.21-py313.txt", "3.13", (2, 38), ("pyfarmhash",)),
    "1.16": PackageSet("TFX 1.16", "tfx-1.16-py310.txt", "3.10", (2, 28)),
}


def main() -> int:
    """Installs; returns the exit status."""
    try:
        if sys.version_info < (3, 9):  # noqa: UP036 (the system's Python, not the set's)
            raise CannotInstall(f"Python 3.9 or later is needed to begin with, and {sys.executable} is older")
        wanted, why = choose(os.environ.get("TFX", ""), c_library())
        install(wanted, why)
    except CannotInstall as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    return 0


def c_library() -> str:
    """What `ldd --version` says first, which names the C library; empty where there is no `ldd`."""
    try:
        said = subprocess.run(["ldd", "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return next(iter((said.stdout or said.stderr).splitlines()), "")


def choose(asked: str, library: str) -> tuple[PackageSet, str]:
    """Chooses a set.

    >>> choose("", "ldd (Debian GLIBC 2.36-9+deb12u13) 2.36")[1]
    'the C library here is glibc 2.36; TFX 1.21 needs 2.38'

    Args:
      asked: the set that the user asks for, "1.16"; empty to choose by the C library.
      library: first line of `ldd --version`.

    Returns:
      the set, and why.

    Raises:
      CannotInstall: there is no such set, or the C library is too old for it, or none that is known.
    """
    if asked and asked not in SETS:
        raise CannotInstall(f"TFX={asked}: there is no such set; there are {', '.join(SETS)}")
    found = re.search(r"(\d+)\.(\d+)\s*$", library) if re.search("glibc|gnu libc", library, re.IGNORECASE) else None
    if found is None:
        raise CannotInstall(f"TFX needs Linux with glibc, and `ldd --version` says {library!r}")
    glibc = int(found[1]), int(found[2])
    too_new: list[str] = []
    for candidate in [SETS[asked]] if asked else SETS.values():
        if glibc >= candidate.glibc:
            return candidate, f"TFX={asked} asks for it" if asked else "; ".join([_here(glibc), *too_new])
        too_new.append(f"{candidate.name} needs {_dotted(candidate.glibc)}")
    raise CannotInstall("; ".join([_here(glibc), *too_new]))


def install(wanted: PackageSet, why: str) -> None:
    """Makes .venv hold just this set. A half-made one and one of another set are made anew.

    Raises:
      CannotInstall: no fitting Python, no compiler, or a package could not be installed.
    """
    stamp = ROOT / ".venv" / ".installed"
    if stamp.is_file() and stamp.read_text() == fingerprint(wanted):
        return
    uv = _uv()
    environment = _make_environment(uv, wanted, why)
    if wanted.compiled:
        _check_compiler(wanted)
    constraints = str(ROOT / "constraints" / wanted.file)
    packages = ["--editable", f"{ROOT}[dev,kubeflow]", "--constraints", constraints, "--build-constraints", constraints]
    if _run([uv, "pip", "install", "--quiet", *packages], environment):
        raise CannotInstall("a package could not be installed; uv's message stands above")
    stamp.write_text(fingerprint(wanted))


def _make_environment(uv: str, wanted: PackageSet, why: str) -> dict[str, str]:
    """An empty .venv with the Python of the set; the variables for it."""
    python, path = wanted.python, str(ROOT / ".venv")
    print(f"set-up: {wanted.name} with Python {python} into .venv, about a minute ({why})", flush=True)
    environment = {**os.environ, "PATH": search_path(python), "VIRTUAL_ENV": path}
    if _run([uv, "venv", "--quiet", "--clear", "--no-project", "--python", python, path], environment):
        raise CannotInstall(
            f"no Python {python} was found and none could be downloaded. Install one so that `python{python}` is on "
            f"the PATH (a package of your system, conda, `pyenv install {python}`), or run `uv python install "
            f"{python}` where there is internet."
        )
    return environment


def _check_compiler(wanted: PackageSet) -> None:
    """Refuses before a minute of downloads what would fail after it."""
    missing = []
    if not any(map(shutil.which, [os.environ.get("CXX", "g++"), "c++", "clang++"])):
        missing.append("a C++ compiler")
    where = [str(ROOT / ".venv" / "bin" / "python"), "-c", "import sysconfig; print(sysconfig.get_path('include'))"]
    include = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isfile(os.path.join(include, "Python.h")):
        missing.append(f"Python's headers ({include}/Python.h)")
    if missing:
        raise CannotInstall(
            f"{wanted.name} compiles {', '.join(wanted.compiled)} while it is installed, and {' and '.join(missing)} "
            "can't be found; on Debian and Ubuntu: apt install g++ python3-dev. TFX=1.16 needs neither."
        )


def fingerprint(wanted: PackageSet) -> str:
    """What .venv must have been made from to be used as it is."""
    digest = hashlib.sha256(repr(wanted).encode())
    for file in (ROOT / "constraints" / wanted.file, ROOT / "setup.py"):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def search_path(python: str) -> str:
    """The PATH, with pyenv's own installations instead of its shims, which fail for versions that are not active."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"))
    installed = sorted(pyenv.glob(f"versions/{python}.*/bin"), key=lambda path: _numbers(path.parent.name))
    others = [part for part in os.environ.get("PATH", "").split(os.pathsep) if pathlib.Path(part) != pyenv / "shims"]
    return os.pathsep.join([*map(str, reversed(installed)), *others])


def _here(glibc: tuple[int, int]) -> str:
    return f"the C library here is glibc {_dotted(glibc)}"


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


def _uv() -> str:
    """Uv in a private environment of its own."""
    home = ROOT / ".uv"
    uv, stamp = home / "bin" / "uv", home / ".installed"
    if stamp.is_file() and stamp.read_text() == UV:
        return str(uv)
    try:
        venv.create(home, with_pip=True, clear=True)
    except (subprocess.CalledProcessError, ImportError):
        shutil.rmtree(home, ignore_errors=True)
        raise CannotInstall(
            f"{sys.executable} can't make virtual environments; on Debian and Ubuntu: apt install python3-venv"
        ) from None
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if _run([*pip, UV], {**os.environ}):
        raise CannotInstall("uv could not be installed; pip's message stands above")
    stamp.write_text(UV)
    return str(uv)


def _run(command: list[str], environment: dict[str, str]) -> int:
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
