import json
import os
import subprocess
import sys

import pytest

from components.shared import scenes
from pipeline.cli.main import main
from tests.factories import ROOT, write_data_set


@pytest.fixture
def data_dir(tmp_path):
    """Ten images with one caption each, and no split lists."""
    write_data_set(tmp_path, "".join(f"b{number}.jpg#0\tA small dog .\n" for number in range(10)))
    for number in range(10):
        (tmp_path / f"b{number}.jpg").write_bytes(scenes.jpeg(0, number))
    return tmp_path


def test_what_would_be_read_is_printed(data_dir, capsys):
    assert main(["inspect", str(data_dir)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        str(data_dir),
        "file                holds     format",
        "captions.token.txt  captions  Flickr tokens",
    ]
    assert "splits    by hash of the name (10 images)" in lines
    assert any(line.endswith("A small dog .") for line in lines)


def test_the_status_says_that_a_run_would_stop(data_dir, capsys):
    (data_dir / "b3.jpg").unlink()
    assert main(["inspect", str(data_dir)]) == 1
    out = capsys.readouterr().out
    assert "missing_image: 1 image, 1 caption  captions.token.txt:4: b3.jpg: no such file" in out
    assert "A run would stop: 1 of 10 captions (10.0%) can't be used" in out
    assert main(["inspect", str(data_dir), "--set", "data.max_reject_fraction=0.2"]) == 0


def test_a_directory_that_is_refused_as_a_whole_stops_a_run(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("A dog.\n")
    assert main(["inspect", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"A run would stop: data.dir: no captions in {tmp_path} ") and not err
    assert main(["inspect", str(tmp_path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["data_dir"] == str(tmp_path) and found["refusal"].startswith("data.dir: no captions in ")
    assert main(["inspect", str(tmp_path / "nowhere")]) == 1


def test_splits_that_are_made_of_others_are_said(data_dir, capsys):
    for split, numbers in {"train": range(8), "dev": range(8, 10)}.items():
        (data_dir / f"{split}Images.txt").write_text("".join(f"b{number}.jpg\n" for number in numbers))
    assert main(["inspect", str(data_dir)]) == 0
    assert (
        "by split lists (10 images); no test split is stated: the eval split is the test split; a part of train is "
        "held out for eval"
    ) in capsys.readouterr().out


def test_programs_read_json(data_dir, capsys):
    assert main(["inspect", str(data_dir), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["num_captions"], found["split_origins"], found["rejects"]) == (10, {"hash of the name": 10}, {})


def test_it_loads_no_tensorflow(data_dir):
    code = (
        "import sys; from pipeline.cli.main import main; main(sys.argv[1:]); "
        "print([name for name in ('tensorflow', 'tfx', 'apache_beam', 'keras') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, "inspect", str(data_dir)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ)
    assert run.stdout.splitlines()[-1] == "[]"
