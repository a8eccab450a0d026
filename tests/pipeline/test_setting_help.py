"""The help for a setting that an error is about, on the command line, too."""

import pytest

from pipeline import setting_help
from pipeline.cli.main import PROGRAM, main
from tests.factories import ROOT

EPOCHS = "trainer.epochs: Number of passes over the train images. Integer > 0; default 30; see docs/configuration.md#"


@pytest.mark.parametrize(
    ("message", "keys"),
    [
        ("trainer.epochs: too few, not 0", ["trainer.epochs"]),
        ("unknown key trainer.epoch; did you mean trainer.epochs?", ["trainer.epochs"]),
        ("trainer.devices is now called trainer.max_gpus", ["trainer.max_gpus"]),
        ("root: /x is not a directory; data.dir: neither", ["root", "data.dir"]),
        ("--set data.dir=: the value is empty; omit the setting", ["data.dir"]),
        (
            "trainer.model.d_model: a key of two models",
            ["trainer.model.d_model (transformer)", "trainer.model.d_model (gru)"],
        ),
        ("trainer.comparison_models.0.units: within a list", ["trainer.comparison_models"]),
        ("kubeflow.step_resources.Trainer.gpu: within a mapping", ["kubeflow.step_resources"]),
        ("data.split_fractions: a section", ["data.split_fractions"]),
        ("trainer.epochs: wrong; trainer.epochs: twice", ["trainer.epochs"]),
        ("--set x: write KEY=VALUE, as in --set trainer.epochs=3", []),
        ("m is not inside a pipeline root; choose one with --root or --config", []),
        ("captions.yaml: not a mapping of settings", []),
    ],
)
def test_the_settings_that_an_error_is_about_are_explained(message, keys):
    assert [line.partition(":")[0] for line in setting_help.help_lines(message)] == keys


def test_every_setting_has_a_line_of_help_whose_anchor_is_on_the_page():
    anchors = {setting_help.anchor(line.lstrip("# ")) for line in (ROOT / setting_help.PAGE).read_text().splitlines()}
    for _, about, rows in setting_help.sections():
        for row in rows:
            lines = setting_help.help_lines(f"{row.key}: wrong")
            assert any(line.partition("; see ")[0].endswith(row.to_line().partition(": ")[2]) for line in lines)
            assert all(line.rpartition("#")[2] in anchors and "\n" not in line for line in lines)
        assert about.endswith(".")


@pytest.mark.parametrize(
    ("key", "help_text"),
    [
        ("cache", "True or false; default true"),
        ("evaluator.baseline", "One of: last_blessed, none; default last_blessed"),
        ("data.max_reject_fraction", "Number ≥ 0, ≤ 1; default 0.01"),
        ("data.max_images", "Integer > 0; default null"),
        ("feature_extractor.backbone", "Text; default InceptionV3"),
        ("evaluator.slices", "List; default [caption_length]"),
        ("evaluator.max_regression", "Mapping (≥ 0); default {}"),
        ("trainer.model", "Settings; default {name: transformer}"),
    ],
)
def test_the_help_has_type_bounds_and_default(key, help_text):
    [line] = setting_help.help_lines(f"{key}: wrong")
    assert help_text in line


def test_the_command_line_prints_the_help_below_the_error(capsys):
    assert main(["run", "--set", "trainer.epochs=0"]) == 2
    error, help_line = capsys.readouterr().err.splitlines()
    assert error == f"{PROGRAM}: error: trainer.epochs: Input should be greater than 0, not 0"
    assert help_line == f"  {EPOCHS}trainer"
    assert main(["lineage", "/nowhere"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
