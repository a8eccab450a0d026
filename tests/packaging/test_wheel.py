"""The wheel, and what it installs into an empty environment: run by `make test-wheel`, since it takes a minute."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from constraints import install
from pipeline import builtin_configs
from tests.factories import ROOT

PACKAGES = {  # package -> its directory
    "captions_kubeflow": "kubeflow/captions_kubeflow",
    "components": "components",
    "pipeline": "pipeline",
    "schemas": "schemas",
}
NOT_SOURCES = shutil.ignore_patterns(
    ".git", ".venv", ".uv", ".spark", ".*_cache", "runs", "build", "dist", "*.egg-info", "__pycache__"
)
[PINS] = [
    str(ROOT / "constraints" / package_set.file)
    for package_set in install.SETS.values()
    if package_set.python == f"{sys.version_info.major}.{sys.version_info.minor}"
]
OUTSIDE = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.fixture(scope="module")
def uv():
    return install._uv()


@pytest.fixture(scope="module")
def wheel(uv, tmp_path_factory):
    """The wheel of a copy of the sources: in place, setuptools would add what earlier builds have left in build/."""
    directory = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(ROOT, directory / "source", ignore=NOT_SOURCES, symlinks=True)
    options = ["--quiet", "--python", sys.executable, "--build-constraints", PINS, "--out-dir", directory]
    subprocess.run([uv, "build", "--wheel", *options, source], env=OUTSIDE, check=True)
    [path] = directory.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def program(uv, wheel, tmp_path_factory):
    """The program of an environment that has only the wheel and its dependencies."""
    environment = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], env=OUTSIDE, check=True)
    options = ["--quiet", "--constraints", PINS, "--build-constraints", PINS]
    variables = {**OUTSIDE, "VIRTUAL_ENV": str(environment)}
    subprocess.run([uv, "pip", "install", *options, wheel], env=variables, check=True)
    return environment / "bin" / "caption-pipeline"


@pytest.fixture
def call(program, tmp_path):
    """Calls the program in an empty directory."""

    def run(*arguments):
        command = [str(program), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=OUTSIDE, capture_output=True, text=True, check=False)

    return run


def test_the_wheel_contains_every_file_of_the_packages_and_nothing_else(wheel):
    expected = {"local_runner.py"}
    for package, directory in PACKAGES.items():
        for path in (ROOT / directory).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(f"{package}/{path.relative_to(ROOT / directory)}")
    contained = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert contained == expected


def test_the_wheel_carries_its_license(wheel):
    archive = zipfile.ZipFile(wheel)
    [info] = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
    for file in ("LICENSE", "NOTICE"):
        assert archive.read(f"{info}/licenses/{file}") == (ROOT / file).read_bytes()
    metadata = archive.read(f"{info}/METADATA").decode().splitlines()
    assert "License-Expression: Apache-2.0" in metadata


@pytest.mark.parametrize("command", [[], ["run"]])
def test_help_is_shown_in_any_directory(call, command):
    process = call(*command, "--help")
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.startswith("usage: caption-pipeline")


def test_every_config_is_installed(call):
    process = call("run", "--config", "no-such-config")
    assert process.returncode == 2
    assert f"no built-in config ({', '.join(builtin_configs.names())})" in process.stderr


def test_the_data_of_an_installed_config_is_validated_against_the_installed_schema(call, tmp_path):
    process = call("run", "--config", "debug", "--to", "ExampleValidator")
    assert process.returncode == 0, process.stdout + process.stderr
    assert "ExampleValidator done" in process.stdout
    assert (tmp_path / "runs" / "debug" / "summary.json").is_file()
