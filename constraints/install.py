"""Creates .venv: chooses a set of packages, finds a Python for it, and installs it, pinned to the last package.

    python3 constraints/install.py              the set chosen before, else the newest that the C library can run
    TFX=1.16 python3 constraints/install.py     this set, which later calls keep

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


class InstallError(Exception):
    """The environment can't be created; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class PackageSet:
    """A tested set of packages.

    Attributes:
      name: name of the set, "TFX 1.21".
      file: its pins, in this directory.
      python: the version that it is pinned for.
      glibc: minimum version of the C library that its wheels run on, (major, minor).
      compiled: packages without a wheel, which need a C++ compiler and Python's headers.
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
            raise InstallError(f"Python 3.9 or later is needed to begin with, and {sys.executable} is older")
        requested = os.environ.get("TFX", "") or chosen_before()
        package_set, reason = choose(requested, c_library())
        try:
            install(package_set, reason)
        finally:  # also after a failure, or the next call would silently install another set
            if requested and _choice_file().parent.is_dir():
                _choice_file().write_text(requested)
    except InstallError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


def c_library() -> str:
    """The first line of `ldd --version`, which names the C library; empty where there is no `ldd`."""
    try:
        process = subprocess.run(["ldd", "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return next(iter((process.stdout or process.stderr).splitlines()), "")


def choose(requested: str, library: str) -> tuple[PackageSet, str]:
    """Chooses a set.

    >>> choose("", "ldd (Debian GLIBC 2.36-9+deb12u13) 2.36")[1]
    'the C library here is glibc 2.36; TFX 1.21 needs 2.38'

    Args:
      requested: the set that the user chooses, "1.16"; empty to choose by the C library.
      library: first line of `ldd --version`.

    Returns:
      the set, and the reason for it.

    Raises:
      InstallError: there is no such set, or the C library is too old for it, or none that is known.
    """
    if requested and requested not in SETS:
        raise InstallError(f"TFX={requested}: there is no such set; there are {', '.join(SETS)}")
    version = re.search(r"(\d+)\.(\d+)\s*$", library) if re.search("glibc|gnu libc", library, re.IGNORECASE) else None
    if version is None:
        raise InstallError(f"TFX needs Linux with glibc, and `ldd --version` says {library!r}")
    glibc = int(version[1]), int(version[2])
    too_new: list[str] = []
    for candidate in [SETS[requested]] if requested else SETS.values():
        if glibc >= candidate.glibc:
            return candidate, f"chosen by TFX={requested}" if requested else "; ".join([_here(glibc), *too_new])
        too_new.append(f"{candidate.name} needs {_dotted(candidate.glibc)}")
    raise InstallError("; ".join([_here(glibc), *too_new]))


def chosen_before() -> str:
    """The set that TFX=… has chosen for this .venv, so that a call without it keeps the set; empty if there is none."""
    try:
        return _choice_file().read_text()
    except OSError:
        return ""


def _choice_file() -> pathlib.Path:
    return ROOT / ".venv" / ".chosen"


def install(package_set: PackageSet, reason: str) -> None:
    """Installs exactly this set into .venv, which is recreated if it is incomplete or of another set.

    Raises:
      InstallError: no fitting Python, no compiler, or a package could not be installed.
    """
    stamp = ROOT / ".venv" / ".installed"
    if stamp.is_file() and stamp.read_text() == fingerprint(package_set):
        return
    uv = _uv()
    environment = _create_environment(uv, package_set, reason)
    if package_set.compiled:
        _check_compiler(package_set)
    constraints = str(ROOT / "constraints" / package_set.file)
    packages = ["--editable", f"{ROOT}[dev,kubeflow]", "--constraints", constraints, "--build-constraints", constraints]
    _report(f"downloading, installing and compiling the packages of constraints/{package_set.file}")
    quiet = [] if sys.stderr.isatty() else ["--quiet"]  # a terminal shows uv's progress
    # bytecode now: else every process compiles TFX anew where PYTHONDONTWRITEBYTECODE is set or .venv is read-only
    if _run([uv, "pip", "install", *quiet, "--compile-bytecode", *packages], environment):
        raise InstallError("a package could not be installed; uv's message is above")
    stamp.write_text(fingerprint(package_set))
    _report("done")


def _create_environment(uv: str, package_set: PackageSet, reason: str) -> dict[str, str]:
    """Creates an empty .venv with the Python of the set, and returns the variables for it."""
    python, path = package_set.python, str(ROOT / ".venv")
    _report(f"{package_set.name} with Python {python} into .venv, about a minute ({reason})")
    environment = {**os.environ, "PATH": search_path(python), "VIRTUAL_ENV": path}
    if _run([uv, "venv", "--quiet", "--clear", "--no-project", "--python", python, path], environment):
        raise InstallError(
            f"no Python {python} was found and none could be downloaded. Install one so that `python{python}` is on "
            f"the PATH (a package of your system, conda, `pyenv install {python}`), or run `uv python install "
            f"{python}` where there is internet."
        )
    return environment


def _check_compiler(package_set: PackageSet) -> None:
    """Refuses before a minute of downloads what would fail after them."""
    missing = []
    if not any(map(shutil.which, [os.environ.get("CXX", "g++"), "c++", "clang++"])):
        missing.append("a C++ compiler")
    command = [str(ROOT / ".venv" / "bin" / "python"), "-c", "import sysconfig; print(sysconfig.get_path('include'))"]
    include = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isfile(os.path.join(include, "Python.h")):
        missing.append(f"Python's headers ({include}/Python.h)")
    if missing:
        raise InstallError(
            f"{package_set.name} compiles {', '.join(package_set.compiled)} while it is installed, and "
            f"{' and '.join(missing)} can't be found; on Debian and Ubuntu: apt install g++ python3-dev. TFX=1.16 "
            "needs neither."
        )


def fingerprint(package_set: PackageSet) -> str:
    """Identifies what a usable .venv was created from."""
    digest = hashlib.sha256(repr(package_set).encode())
    for file in (ROOT / "constraints" / package_set.file, ROOT / "setup.py"):
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
    """Installs uv into a private environment of its own, and returns its path."""
    home = ROOT / ".uv"
    uv, stamp = home / "bin" / "uv", home / ".installed"
    if stamp.is_file() and stamp.read_text() == UV:
        return str(uv)
    _report(f"{UV.replace('==', ' ')}, which installs packages, into .uv")
    try:
        venv.create(home, with_pip=True, clear=True)
    except (subprocess.CalledProcessError, ImportError):
        shutil.rmtree(home, ignore_errors=True)
        raise InstallError(
            f"{sys.executable} can't create virtual environments; on Debian and Ubuntu: apt install python3-venv"
        ) from None
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if _run([*pip, UV], {**os.environ}):
        raise InstallError("uv could not be installed; pip's message is above")
    stamp.write_text(UV)
    return str(uv)


def _report(stage: str) -> None:
    print(f"setup: {stage}", flush=True)


def _run(command: list[str], environment: dict[str, str]) -> int:
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
