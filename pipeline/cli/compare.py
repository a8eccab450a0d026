"""`caption-pipeline compare`."""

import argparse
from typing import Any

from pipeline.cli.arguments import load_config, settings_parser
from pipeline.cli.metadata import open_metadata, quiet_imports


def add_parser(subparsers: Any) -> None:
    """Adds the command's parser."""
    parser = subparsers.add_parser(
        "compare",
        parents=[settings_parser()],
        help="compare runs",
        description="Prints a table with one column per run: metrics with 95 % intervals, the decision, and the "
        "settings that differ.",
        epilog="example: caption-pipeline compare --config my.yaml 20261126-10 20261127-09",
    )
    parser.add_argument("--all-settings", action="store_true", help="include settings that do not differ")
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="*",
        help="run IDs, or unique prefixes or suffixes (default: the last evaluated runs)",
    )


def run(args: argparse.Namespace) -> int:
    """Compares runs."""
    config = load_config(args)
    with open_metadata(config) as handle:
        with quiet_imports():
            from pipeline import compare, console
            from pipeline.paths import display_path

        root = display_path(config.root_dir)
        table = compare.table(compare.find(handle.store, config.name, args.runs, root), args.all_settings)
    print(f"Runs of {config.name} in {root}:")
    console.print_table(table)
    return 0
