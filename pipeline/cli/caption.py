"""`caption-pipeline caption`."""

import argparse
import sys
from typing import Any

from pipeline.cli.metadata import quiet_imports


def add_parser(subparsers: Any) -> None:
    """Adds the command's parser."""
    parser = subparsers.add_parser(
        "caption",
        help="caption images",
        description="Prints a line per image: its path, a tab, its caption. Files that cannot be read "
        "as images are reported on standard error and skipped; the exit status is then 1.",
        epilog="example: caption-pipeline caption --model runs/sample/serving one.jpg two.png",
    )
    parser.add_argument(
        "--model", metavar="DIR", required=True, help="a version directory, or its parent (the newest version is used)"
    )
    parser.add_argument(
        "images", metavar="IMAGE", nargs="+", help="JPEG, PNG, GIF, BMP, WebP, TIFF, JPEG 2000 or AVIF file"
    )


def run(args: argparse.Namespace) -> int:
    """Captions images."""
    with quiet_imports():
        from pipeline import captioning

        model = captioning.load(args.model)
    failed = False
    for path, caption, reason in captioning.caption(model, args.images):
        if caption is None:
            failed = True
            print(f"{path}: not captioned: {reason}", file=sys.stderr, flush=True)
        else:
            print(f"{path}\t{caption}", flush=True)
    return int(failed)
