"""`caption-pipeline lineage`."""

import argparse
import dataclasses
import json
from typing import Any

from pipeline.cli.arguments import directory
from pipeline.cli.metadata import open_metadata, quiet_imports
from pipeline.errors import UserError
from pipeline.paths import Paths, root_above


class RootNotFound(UserError):
    """The model is not below a root."""


def add_parser(subparsers: Any) -> None:
    """Adds the command's parser."""
    parser = subparsers.add_parser(
        "lineage",
        help="show a model's lineage",
        description="Prints the data, features, vocabulary, settings and code that produced a model, step by step, "
        "from the ML Metadata of the root that contains it.",
        epilog="example: caption-pipeline lineage runs/sample/serving",
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
    root = args.root or root_above(args.model)
    if root is None:
        raise RootNotFound(f"{args.model} is not inside a pipeline root; choose one with --root")
    with open_metadata(Paths(root).metadata) as handle:
        with quiet_imports():
            from pipeline import console, lineage

        model = lineage.find(handle.store, args.model)
    if args.json:
        print(json.dumps(dataclasses.asdict(model), indent=1))
    else:
        console.print_table(lineage.tables(model))
    return 0
