"""`caption-pipeline init`."""

import argparse
import os
import shlex
from typing import Any

from pipeline.cli.arguments import directory
from pipeline.cli.metadata import quiet_imports
from pipeline.errors import UserError

QUICK_IMAGES = 1000  # of a first try


class FileExists(UserError):
    """The file exists, and nobody has asked to overwrite it."""


def add_parser(subparsers: Any) -> None:
    """Adds the command's parser."""
    parser = subparsers.add_parser(
        "init",
        help="write a first config for a data directory",
        description="Looks at the images, captions and split lists of a directory, measures how fast this machine is, "
        "and writes a config with settings that suit them, each with its reason. Prints the command to run next.",
        epilog="example: caption-pipeline init images/flickr8k --output flickr8k.yaml",
    )
    parser.add_argument("directory", metavar="DIR", type=directory, help="directory (or URI) with images and captions")
    parser.add_argument("--output", metavar="FILE", help="config to write (default: <name of the directory>.yaml)")
    parser.add_argument("--no-probe", action="store_true", help="do not measure how fast this machine is")
    parser.add_argument("--force", action="store_true", help="overwrite the file if it exists")


def run(args: argparse.Namespace) -> int:
    """Writes the config."""
    with quiet_imports():
        import tensorflow as tf

        from components.shared.storage import write_text
        from pipeline import data_survey, initial_config, next_steps, probe
        from pipeline.commented_yaml import render

    name = initial_config.name_of(args.directory)
    output = args.output or f"{name}.yaml"
    if os.path.exists(output) and not args.force:
        raise FileExists(f"{output} exists; overwrite it with --force, or name another with --output")
    survey = data_survey.survey(args.directory)
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    settings = initial_config.choose(survey, name, has_gpu)
    config = initial_config.load(settings)
    print("\n".join(initial_config.describe(survey, config)), flush=True)
    for warning in initial_config.warnings(survey, config, initial_config.free_bytes(config.root_dir)):
        print(f"warning: {warning}")
    missing_weights = initial_config.weights_warning(config.feature_extractor.backbone)
    for warning in missing_weights:
        print(f"warning: {warning}")
    header = [f"Settings for {survey.data_dir}, written by {next_steps.PROGRAM} init: change what you like."]
    if not args.no_probe:
        print("Measuring how fast this machine is, for up to a minute …", flush=True)
        with quiet_imports():
            captions = initial_config.captions_of(survey, config)
            speed = probe.measure(config.feature_extractor, config.trainer, survey.example_files, captions)
        header.append(f"Estimate: {initial_config.estimate(survey, config, speed)}")
        print(header[-1])
    write_text(output, render(settings, header))
    command = f"{next_steps.program()} run --config {shlex.quote(output)}"
    print(f"Wrote {output}. Run it with:\n  {command}")
    if missing_weights:
        print(f"or, to try it out without the weights:\n  {command} --set feature_extractor.weights=random")
    if survey.total_images > QUICK_IMAGES:
        quick = f"data.max_images={QUICK_IMAGES} trainer.epochs=2 trainer.optimizer.warmup_steps=20"
        print(f"or a quick try first:\n  {command} --set {quick}")
    return 0
