"""`caption-pipeline lineage`."""

import argparse
import dataclasses
import json
from typing import Any

from pipeline.cli.arguments import directory, load_config, settings_parser
from pipeline.cli.metadata import open_metadata, quiet_imports
from pipeline.errors import UserError
from pipeline.paths import root_above

EPILOG = """examples:
  caption-pipeline lineage runs/sample/serving
  caption-pipeline lineage s3://BUCKET/mine/serving --config my.yaml
"""


class RootNotFound(UserError):
    """The model is not below a root, and no pipeline is named."""


def add_parser(subparsers: Any) -> None:
    """Adds the command's parser."""
    parser = subparsers.add_parser(
        "lineage",
        parents=[settings_parser(root=False)],
        help="show a model's lineage",
        description="Prints the data, features, vocabulary, settings and code that produced a model, step by step, "
        "from the ML Metadata of the root that contains it, or of the pipeline that --config and --set name.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "model", metavar="MODEL_DIR", help="a version directory, or its parent (the newest version is used)"
    )
    parser.add_argument(
        "--root", metavar="DIR", type=directory, help="pipeline root to read (default: the one that contains the model)"
    )
    parser.add_argument("--json", action="store_true", help="print the full lineage as JSON")


def run(args: argparse.Namespace) -> int:
    """Shows a model's lineage."""
    if args.root is None and not (args.config or args.overrides):
        args.root = root_above(args.model)
        if args.root is None:
            raise RootNotFound(f"{args.model} is not inside a pipeline root; choose one with --root or --config")
    with open_metadata(load_config(args)) as handle:
        with quiet_imports():
            from pipeline import console, lineage

        model = lineage.find(handle.store, args.model)
    if args.json:
        print(json.dumps(dataclasses.asdict(model), indent=1))
    else:
        console.print_table(lineage.tables(model))
    return 0
