"""Makes .venv: finds the Python that a set of packages wants, and installs the set, pinned to the last package.

    python3 constraints/install.py

Run by `make` before anything else, with whatever Python 3 the system has; it does nothing when all is in place.
"""

import dataclasses
import hashlib
import os
import pathlib
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
    """A tested set of packages."""

    name: str
    python: str
    file: str


SETS = {"1.16": PackageSet("TFX 1.16", "3.10", "tfx-1.16-py310.txt")}


def main() -> int:
    """Installs; returns the exit status."""
    try:
        install(SETS["1.16"])
    except CannotInstall as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    return 0


def install(wanted: PackageSet) -> None:
    """Makes .venv hold just this set. A half-made or an older one is made anew.

    Raises:
      CannotInstall: no fitting Python, or a package could not be installed.
    """
    stamp = ROOT / ".venv" / ".installed"
    if stamp.is_file() and stamp.read_text() == fingerprint(wanted):
        return
    uv = _uv()
    environment = {**os.environ, "PATH": search_path(wanted.python), "VIRTUAL_ENV": str(ROOT / ".venv")}
    print(f"set-up: {wanted.name} with Python {wanted.python} into .venv, about a minute", flush=True)
    make = [uv, "venv", "--quiet", "--clear", "--no-project", "--python", wanted.python, str(ROOT / ".venv")]
    if _run(make, environment):
        raise CannotInstall(
            f"no Python {wanted.python} was found and none could be downloaded. Install one so that "
            f"`python{wanted.python}` is on the PATH (a package of your system, conda, `pyenv install "
            f"{wanted.python}`), or run `uv python install {wanted.python}` where there is internet."
        )
    constraints = str(ROOT / "constraints" / wanted.file)
    packages = ["--editable", f"{ROOT}[dev]", "--constraints", constraints, "--build-constraints", constraints]
    if _run([uv, "pip", "install", "--quiet", *packages], environment):
        raise CannotInstall("a package could not be installed; uv's message stands above")
    stamp.write_text(fingerprint(wanted))


def fingerprint(wanted: PackageSet) -> str:
    """What .venv must have been made from to be used as it is."""
    digest = hashlib.sha256(wanted.python.encode())
    for file in (ROOT / "constraints" / wanted.file, ROOT / "setup.py"):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def search_path(python: str) -> str:
    """The PATH, with pyenv's own installations instead of its shims, which fail for versions that are not active."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"))
    installed = sorted(pyenv.glob(f"versions/{python}.*/bin"), key=lambda path: _numbers(path.parent.name))
    others = [part for part in os.environ.get("PATH", "").split(os.pathsep) if pathlib.Path(part) != pyenv / "shims"]
    return os.pathsep.join([*map(str, reversed(installed)), *others])


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
