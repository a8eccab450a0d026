"""`caption-pipeline inspect`."""

import argparse
import dataclasses
import json
from typing import Any

from pipeline.cli.arguments import directory, load_config, settings_parser


def add_parser(subparsers: Any) -> None:
    """Adds the command's parser."""
    parser = subparsers.add_parser(
        "inspect",
        parents=[settings_parser(root=False)],
        help="show what a run would read from a data directory",
        description="Shows in seconds what a run would read from a directory: the files with captions and their "
        "format, images, splits and where they come from, what would be rejected and why, and the first captions. "
        "Nothing is written. The status is 1 if a run would stop at this data.",
        epilog="example: caption-pipeline inspect DIRECTORY --set data.max_reject_fraction=0.05",
    )
    parser.add_argument("directory", metavar="DIR", type=directory, help="directory (or URI) with images and captions")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Shows what a directory holds."""
    from components.shared import storage
    from pipeline import console, data_preview

    settings = dataclasses.replace(load_config(args).data, dir=storage.absolute(args.directory))
    try:
        found = data_preview.preview(settings)
    except data_preview.DataError as error:
        refused = {"data_dir": settings.dir, "refusal": str(error)}
        print(json.dumps(refused, indent=1, ensure_ascii=False) if args.json else f"A run would stop: {error}")
        return 1
    if args.json:
        print(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        console.print_table(data_preview.tables(found))
    return 1 if found.refusal else 0
