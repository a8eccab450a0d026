"""The arguments that several commands share."""

import argparse

import pytest

from pipeline.cli.arguments import pipeline_arguments, settings_parser


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("", ""),
        ("--config my.yaml --set trainer.epochs=3", "--config my.yaml"),
        ("--config a.yaml --config b.yaml --root out", "--config a.yaml --config b.yaml --root out"),
        ("--set trainer.epochs=3 name=mine root=out", "--set name=mine root=out"),
        ("--root s3://b/x --set metadata=mysql://db/m", "--set metadata=mysql://db/m --root s3://b/x"),
    ],
)
def test_the_arguments_that_name_a_pipeline_are_repeated(command, expected):
    args = argparse.ArgumentParser(parents=[settings_parser()]).parse_args(command.split())
    assert pipeline_arguments(args) == expected.split()
