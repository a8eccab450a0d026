import re
import subprocess
import sys

import pytest

from pipeline import cli
from pipeline.cli.main import PROGRAM, find_commands, main
from tests.factories import ROOT

COMMANDS = ("init", "run", "sample", "caption", "stats", "features", "compare", "lineage", "rollback", "completion")
HEAVY = {"tensorflow", "tfx", "apache_beam", "keras", "numpy", "pydantic", "yaml", "rich", "PIL", "kfp", "kubernetes"}
LOADED = f"import sys; from pipeline.cli.main import find_commands; find_commands(); print({HEAVY} & set(sys.modules))"
HELLO = '''
"""A command of a test."""


def add_parser(subparsers):
    parser = subparsers.add_parser("hello", help="greet somebody")
    parser.add_argument("name")


def run(args):
    print(f"Hello, {args.name}!")
    return 3
'''


def test_nothing_heavy_is_loaded_before_a_command_runs():
    out = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_shows_the_program_and_examples(command, capsys):
    with pytest.raises(SystemExit) as exit_status:
        main([*command, "--help"])
    assert exit_status.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: {' '.join([PROGRAM, *command])} ")
    assert re.search(rf"example(s:\n|: ).*{' '.join([PROGRAM, *command])} ", out)
    assert "%%" not in out


def test_every_command_is_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    for name in find_commands():
        assert re.search(rf"^    {name}\s+\w", out, re.MULTILINE)


def test_the_local_runner_is_the_same_program():
    command = [sys.executable, "local_runner.py", "lineage", "/nowhere"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == (
        f"{PROGRAM}: error: /nowhere is not inside a pipeline root; choose one with --root or --config\n"
    )


def test_a_command_is_added_by_one_file(tmp_path, monkeypatch, capsys):
    (tmp_path / "hello.py").write_text(HELLO)
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    assert main(["hello", "world"]) == 3
    assert capsys.readouterr().out == "Hello, world!\n"
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "greet somebody" in capsys.readouterr().out
    del sys.modules["pipeline.cli.hello"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND (see caption-pipeline --help)"),
        (["walk"], "invalid choice: 'walk'"),
        (["run", "--epochs", "3"], "unrecognized arguments: --epochs 3"),
        (["features", "--keep-last", "x"], "invalid int value: 'x' (see caption-pipeline features --help)"),
        (["caption", "x.jpg"], "required: --model (see caption-pipeline caption --help)"),
        (["compare", "--root", ""], "argument --root: the directory name is empty"),
        (["features", "--also-root", ""], "argument --also-root: the directory name is empty"),
        (["lineage", "x", "--root", ""], "argument --root: the directory name is empty"),
        (["store", "--drop"], "store is now called features, and store --drop is now features gc"),
    ],
)
def test_wrong_usage_is_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"{PROGRAM}: error: ") and err.count("\n") == 1
    assert message in err


def test_an_interrupt_has_its_exit_status(monkeypatch, capsys):
    from pipeline.cli import compare

    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "run", interrupted)
    assert main(["compare"]) == 130
    assert capsys.readouterr().err == f"{PROGRAM}: interrupted\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "trainer.epoch=3"], "unknown key trainer.epoch; did you mean trainer.epochs?"),
        (["--set", "trainer.epochs=3", "data.dir=/nowhere"], "data.dir: /nowhere is not a directory"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml"),
    ],
)
def test_settings_are_refused_before_anything_runs(arguments, message, capsys, tmp_path):
    assert main(["run", "--root", str(tmp_path / "root"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("command", ["compare", "rollback", "stats", "features"])
def test_commands_about_earlier_runs_need_one(command, tmp_path, capsys):
    assert main([command, "--root", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"{PROGRAM}: error: nothing has run in {tmp_path} yet: name the root")


def test_a_file_that_is_no_database_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "metadata.sqlite").write_text("no database\n" * 100)
    assert main(["stats", "--root", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert re.fullmatch(rf"{PROGRAM}: error: .*metadata.sqlite cannot be used \(.+\): move it away, or .*\n", err)
