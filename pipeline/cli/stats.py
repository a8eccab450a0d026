"""`caption-pipeline stats`."""

import argparse
from typing import Any

from pipeline.cli.arguments import load_config, settings_parser
from pipeline.cli.metadata import open_metadata, quiet_imports
from pipeline.paths import display_path


def add_parser(subparsers: Any) -> None:
    """Adds the command's parser."""
    parser = subparsers.add_parser(
        "stats",
        parents=[settings_parser()],
        help="dataset statistics of the last run",
        description="Prints statistics of the captions read by the last run (lengths, vocabulary before and "
        "after cleaning, most frequent words), and writes them with the TFDV visualization to one HTML file.",
        epilog="example: caption-pipeline stats --config my.yaml --output statistics.html",
    )
    parser.add_argument("--output", metavar="FILE", help="HTML file to write (default: statistics.html in the root)")


def run(args: argparse.Namespace) -> int:
    """Prints and writes the statistics."""
    config = load_config(args)
    path = args.output or config.paths.statistics
    with open_metadata(config) as handle, quiet_imports():
        from pipeline import console, data_report

        tables = data_report.write(handle, config, path)
    console.print_table(tables)
    print(f"\nTFDV visualization: {display_path(path)}")
    return 0
