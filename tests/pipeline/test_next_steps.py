import dataclasses
import os
import pathlib
import sys

import pytest

from pipeline import next_steps
from pipeline.config import Config, DataSettings

NOTHING = {"report": None, "candidate_model": None, "example_image": None, "decision": None}


@pytest.fixture
def config(tmp_path, monkeypatch) -> Config:
    """A pipeline that runs in an empty directory, with the program on the shell's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(next_steps.shutil, "which", lambda program: f"/bin/{program}")
    return Config(name="mine")


def saved_model(directory: str) -> str:
    pathlib.Path(directory).mkdir(parents=True)
    (pathlib.Path(directory) / "saved_model.pb").touch()
    return str(directory)


def test_the_served_model_captions_a_test_image(config):
    saved_model(os.path.join(config.paths.serving, "17"))
    summary = {**NOTHING, "report": "/r/report.html", "candidate_model": "/gone", "example_image": "/data/it's one.jpg"}
    assert next_steps.lines(config, summary) == [
        "",
        "What to do next:",
        "  open the report:   /r/report.html",
        "  caption an image:  caption-pipeline caption --model runs/mine/serving '/data/it'\"'\"'s one.jpg'",
        "  use your own data: caption-pipeline init DIRECTORY",
    ]


@pytest.mark.parametrize(("scheme", "command"), [("s3", "aws s3 cp"), ("gs", "gcloud storage cp")])
def test_a_report_in_a_bucket_is_fetched(config, scheme, command):
    report = f"{scheme}://bucket/a root/report.html"
    assert next_steps.lines(config, {**NOTHING, "report": report})[2] == f"  fetch the report:  {command} '{report}' ."


def test_a_model_that_is_not_served_captions_itself(config, tmp_path):
    model = saved_model(str(tmp_path / "artifacts" / "model"))
    summary = {**NOTHING, "candidate_model": model, "example_image": str(tmp_path / "a.jpg")}
    line = "  caption an image:  caption-pipeline caption --model artifacts/model a.jpg"
    assert next_steps.lines(config, summary)[2] == line


def test_two_runs_on_own_data_are_compared_with_the_arguments_of_the_user(config):
    config = dataclasses.replace(config, data=DataSettings(dir="/data"))
    line = "  compare the runs:  caption-pipeline compare --config 'my data.yaml'"
    summary = {**NOTHING, "decision": "rejected"}
    assert next_steps.lines(config, summary, 2, ["--config", "my data.yaml"]) == ["", "What to do next:", line]
    assert next_steps.lines(config, summary, 1, ["--config", "my data.yaml"]) == []
    assert next_steps.lines(config, NOTHING) == []  # the run did not reach the evaluation


def test_a_program_that_the_shell_does_not_find_is_named_by_its_path(config, tmp_path, monkeypatch):
    monkeypatch.setattr(next_steps.shutil, "which", lambda program: None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    assert next_steps.program() == "caption-pipeline"  # nothing is there either
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "caption-pipeline").touch()
    assert next_steps.program() == "venv/caption-pipeline"
