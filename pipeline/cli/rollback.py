"""`caption-pipeline rollback`."""

import argparse
import os
from typing import Any

from pipeline.cli.arguments import load_config, settings_parser
from pipeline.cli.metadata import open_metadata, quiet_imports


def add_parser(subparsers: Any) -> None:
    """Adds the command's parser."""
    parser = subparsers.add_parser(
        "rollback",
        parents=[settings_parser()],
        help="roll back to the previous model",
        description="Pushes the previously served model as a new version, so that model servers load it. It becomes "
        "the baseline of the next run; the model you roll back from will not be blessed again.",
        epilog="example: caption-pipeline rollback --config my.yaml --to 1764200000",
    )
    parser.add_argument("--to", metavar="VERSION", help="version to roll back to (default: the previous one)")


def run(args: argparse.Namespace) -> int:
    """Rolls back."""
    config = load_config(args)
    with open_metadata(config) as handle:
        with quiet_imports():
            from pipeline import rollback
            from pipeline.paths import display_path

        done = rollback.roll_back(handle.store, config.name, config.paths.serving, args.to)
    pushed = display_path(os.path.join(config.paths.serving, done.pushed))
    print(f"Rolled back to {done.target} (pushed as {pushed}); {done.previous} is excluded from blessing")
    return 0
