"""What is printed where the standard streams can't encode it, or where nobody reads it."""

import codecs
import os
import subprocess
import sys

import pytest

from pipeline.cli import streams
from pipeline.cli.main import main
from tests.factories import ROOT

codecs.register_error("readable", streams.replace_unencodable)


@pytest.mark.parametrize(
    ("text", "encoding", "encoded"),
    [
        ("Loading …", "ascii", b"Loading ..."),
        ("0.3–0.5, ≥ 2", "ascii", b"0.3-0.5, >= 2"),
        ("0.3–0.5 é", "latin-1", b"0.3-0.5 \xe9"),
        ("caf\u00e9", "ascii", rb"caf\xe9"),
        ("犬.jpg", "latin-1", rb"\u72ac.jpg"),
        ("犬.jpg …", "utf-8", "犬.jpg …".encode()),
        (os.fsdecode(b"caf\xe9.jpg"), "utf-8", b"caf\xe9.jpg"),  # a name in another encoding
        (os.fsdecode(b"caf\xe9.jpg"), "ascii", b"caf\xe9.jpg"),
    ],
)
def test_any_text_can_be_encoded(text, encoding, encoded):
    assert text.encode(encoding, "readable") == encoded


def test_bytes_that_can_not_be_decoded_are_still_an_error():
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", "readable")


def command_line(*arguments: str, **environment: str) -> tuple[int, bytes, bytes]:
    """Exit status, standard output and standard error of a command."""
    command = [sys.executable, "local_runner.py", *arguments]
    run = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, check=False)
    return run.returncode, run.stdout, run.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=str,
)
def test_an_error_with_other_letters_is_one_line(environment):
    status, out, err = command_line("run", "--set", "data.max_reject_fraction=2", "data.dir=犬…", **environment)
    assert (status, out) == (2, b"") and b"Traceback" not in err
    assert err.startswith(b"caption-pipeline: error: data.max_reject_fraction: ") and err.count(b"\n") == 2
    status, out, err = command_line("lineage", "犬…", **environment)
    assert (status, out) == (2, b"") and err.endswith(
        b" is not inside a pipeline root; choose one with --root or --config\n"
    )


@pytest.mark.slow
def test_a_reader_that_has_gone_ends_a_command_without_a_traceback():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "import sys; from pipeline.cli import main, sample\n"
               "sample.run = lambda args: print('x' * 100_000) or 0\n"
               "sys.exit(main.main(['sample', 'd']))"]  # fmt: skip
    run = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (run.returncode, run.stderr) == (141, b"")


def test_a_directory_whose_name_is_not_utf_8_is_refused_in_one_line(tmp_path, capsys):
    directory = str(tmp_path / os.fsdecode(b"caf\xe9"))
    assert main(["sample", directory, "--set", "data.sample.num_images=1"]) == 2
    name = ascii(directory)
    error = f"the name {name} is not UTF-8: rename it, or set LC_ALL=C.UTF-8 if it is"
    assert capsys.readouterr().err == f"caption-pipeline: error: {error}\n"
