"""`caption-pipeline sample`."""

import argparse
from typing import Any

from pipeline.cli.arguments import directory, load_config, settings_parser
from pipeline.cli.metadata import quiet_imports


def add_parser(subparsers: Any) -> None:
    """Adds the command's parser."""
    parser = subparsers.add_parser(
        "sample",
        parents=[settings_parser(root=False)],
        help="draw the sample dataset",
        description="Draws the built-in dataset of synthetic scenes, in Flickr8k's layout, or extends it. Of the "
        "settings only data.sample counts. A run without data.dir draws it below its root.",
        epilog="example: caption-pipeline sample images/sample --set data.sample.num_images=60",
    )
    parser.add_argument("directory", metavar="DIR", type=directory, help="the dataset's directory")


def run(args: argparse.Namespace) -> int:
    """Draws the dataset."""
    sample = load_config(args).data.sample
    with quiet_imports():
        from pipeline import sample_data

    num_drawn = sample_data.write(args.directory, sample.num_images, sample.seed)
    print(f"Drew {num_drawn} images in {args.directory}")
    return 0
