import subprocess

import pytest

from pipeline import builtin_configs
from pipeline.cli.completion import SHELLS
from pipeline.cli.main import find_commands, main

# as bash does it when the last word of a line is to be completed
COMPLETE = """
source ./script
function=$(complete -p caption-pipeline | sed -E 's/.* -F ([^ ]+) .*/\\1/')
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
$function
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def complete(tmp_path, capsys):
    """Completes the last word of a line in a directory that contains images/ and image.jpg."""
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    (tmp_path / "images").mkdir()
    (tmp_path / "image.jpg").touch()

    def completions(*words):
        command = ["bash", "-c", COMPLETE, "bash", "caption-pipeline", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()

    return completions


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell_knows_every_command_and_setting(shell, capsys):
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in find_commands())
    assert all(key in out for key in ("trainer.epochs=", "trainer.model.d_model=", "kubeflow.database.host="))


def test_the_script_is_valid_bash(capsys):
    main(["completion", "bash"])
    script = capsys.readouterr().out
    check = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (check.returncode, check.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rol"], ["rollback"]),
        (["kubeflow", "sch"], ["schedule"]),
        (["run", "--no"], ["--no-cache"]),
        (["features", "gc", "--al"], ["--also-metadata", "--also-root"]),
        (["completion", "b"], ["bash"]),
        (["run", "--set", "trainer.ep"], ["trainer.epochs="]),
        (["run", "--set", "trainer.epochs=3", "data.di"], ["data.dir="]),
        (["kubeflow", "run", "--param", "trainer."], ["trainer.epochs="]),
        (["run", "--config", "imag"], ["image.jpg", "images"]),
        (["run", "--root", "imag"], ["images"]),
        (["caption", "--model", "images", "imag"], ["image.jpg", "images"]),
    ],
)
def test_bash_completes(complete, words, expected):
    assert sorted(complete(*words)) == expected


def test_bash_completes_every_command_and_built_in_config(complete):
    assert set(complete("")) == set(find_commands())
    assert set(builtin_configs.names()) < set(complete("run", "--config", ""))
