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
        help="generate the sample dataset",
        description="Generates the built-in dataset of synthetic scenes, in Flickr8k's layout, or extends it. Only the "
        "data.sample settings are used. A run without data.dir generates it below its root.",
        epilog="example: caption-pipeline sample images/sample --set data.sample.num_images=60 data.sample.language=zh",
    )
    parser.add_argument("directory", metavar="DIR", type=directory, help="the dataset's directory")


def run(args: argparse.Namespace) -> int:
    """Generates the dataset."""
    sample = load_config(args).data.sample
    with quiet_imports():
        from pipeline import sample_data

    num_drawn = sample_data.write(args.directory, sample.num_images, sample.seed, sample.language)
    print(f"Generated {num_drawn} images in {args.directory}")
    return 0
