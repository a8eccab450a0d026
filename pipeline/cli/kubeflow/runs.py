"""`caption-pipeline kubeflow runs`: lists the last runs."""

import argparse
from typing import Any

from pipeline.cli.arguments import load_config, settings_parser
from pipeline.cli.kubeflow.options import connect, server_options


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "runs",
        parents=[settings_parser(root=False), server_options()],
        help="list the last runs, with their failed steps",
        description="Lists the last runs of the pipeline, the newest first, with their failed steps. Of the settings "
        "only the pipeline's name is used; it names the KFP experiment.",
        epilog="example: caption-pipeline kubeflow runs --config my.yaml --limit 3",
    )
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="maximum number of runs (default: 10)")


def run(args: argparse.Namespace) -> int:
    """Lists runs."""
    from captions_kubeflow.server import step_states
    from rich.table import Table

    from pipeline import console

    server = connect(args, load_config(args))
    table = Table("run", "created", "state", "failed steps", box=None)
    for run in server.runs(args.limit):
        states = step_states(server.run(run.run_id)) if run.state != "SUCCEEDED" else {}
        failed = ", ".join(name for name, state in states.items() if state == "FAILED")
        table.add_row(run.run_id, f"{run.created_at:%Y-%m-%d %H:%M}", run.state or "PENDING", failed)
    console.print_table(table)
    return 0
