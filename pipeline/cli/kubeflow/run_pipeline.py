"""`caption-pipeline kubeflow run`: starts a run."""

import argparse
from typing import Any

from pipeline.cli.arguments import load_config, settings_parser
from pipeline.cli.kubeflow.options import compiled, connect, parameter_options, run_parameters, server_options
from pipeline.errors import UserError

EPILOG = """examples:
  caption-pipeline kubeflow run --config my.yaml --wait
  caption-pipeline kubeflow run --config my.yaml --param trainer.epochs=3 data.dir=/captions/data
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "run",
        parents=[settings_parser(root=False), server_options(), parameter_options()],
        help="start a run",
        description="Compiles the pipeline, starts a run of it and prints the run's ID.",
        epilog=EPILOG,
    )
    parser.add_argument("--wait", action="store_true", help="wait for completion; exit status 1 if the run failed")
    parser.add_argument(
        "--timeout",
        type=int,
        default=24 * 3600,
        metavar="SECONDS",
        help="with --wait: maximum time to wait in seconds (default: 86400, a day); the run itself goes on",
    )


def run(args: argparse.Namespace) -> int:
    """Starts a run, and waits for it if asked to."""
    config = load_config(args)
    parameters = run_parameters(args)
    server = connect(args, config)
    with compiled(config) as package:
        run_id = server.submit(package, config.name, parameters)
    print(run_id, flush=True)
    if not args.wait:
        return 0
    try:
        state = server.wait(run_id, args.timeout).state
    except TimeoutError as error:
        raise UserError(str(error)) from None
    print(state)
    return 0 if state == "SUCCEEDED" else 1
