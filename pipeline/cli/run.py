"""`caption-pipeline run`."""

import argparse
from typing import Any

from pipeline.cli.arguments import load_config, pipeline_arguments, settings_parser

EPILOG = """examples:
  caption-pipeline run                                        run on the built-in sample
  caption-pipeline run --config pipeline/configs/flickr8k.yaml --set data.dir=images/flickr8k --root runs/mine
  caption-pipeline run --config my.yaml --set decoding.beam_size=5
                                                              evaluate again without retraining
  caption-pipeline run --to FeatureExtractor                  prepare the data only
  caption-pipeline run --from Trainer --no-cache              train again on the same data
"""


def add_parser(subparsers: Any) -> None:
    """Adds the command's parser."""
    parser = subparsers.add_parser(
        "run",
        parents=[settings_parser()],
        help="run the pipeline",
        description="Runs the pipeline, or a part of it. Steps whose data, settings and code have not changed reuse "
        "the outputs of an earlier run. Exit status: 0 if all steps succeeded, whether the model was blessed or not; 1 "
        "if a step failed; 2 if the run could not start.",
        epilog=EPILOG,
    )
    parser.add_argument("--no-cache", action="store_true", help="ignore the cache; stored features are still reused")
    parser.add_argument(
        "--from", metavar="STEP", dest="from_node", help="first step to run; earlier steps keep their previous outputs"
    )
    parser.add_argument("--to", metavar="STEP", dest="to_node", help="last step to run")
    parser.add_argument("-v", "--verbose", action="store_true", help="also print the log")


def run(args: argparse.Namespace) -> int:
    """Runs the pipeline."""
    config = load_config(args, **({"cache": False} if args.no_cache else {}))
    from pipeline import local_run
    from pipeline.config import check_paths

    check_paths(config)
    return local_run.run(config, args.from_node, args.to_node, args.verbose, pipeline_arguments(args))
