"""`caption-pipeline kubeflow`: the pipeline on Kubeflow Pipelines, one module per subcommand."""

import argparse
import logging
import warnings
from typing import Any

from pipeline.cli.kubeflow import compile, logs, run_pipeline, runs, schedule
from pipeline.cli.metadata import quiet_tensorflow
from pipeline.errors import UserError

COMMANDS = {"compile": compile, "run": run_pipeline, "schedule": schedule, "runs": runs, "logs": logs}
EXTRA = ("captions_kubeflow", "croniter", "kfp", "kfp_server_api", "kubernetes")  # modules of the extra `kubeflow`

EPILOG = """examples:
  caption-pipeline kubeflow compile --config my.yaml --output captions.yaml
  caption-pipeline kubeflow run --config my.yaml --param trainer.epochs=3 --wait
  caption-pipeline kubeflow schedule --config my.yaml --name nightly --cron "0 3 * * *"
  caption-pipeline kubeflow schedule --config my.yaml --list
  caption-pipeline kubeflow runs --config my.yaml
  caption-pipeline kubeflow logs RUN Trainer
"""


def add_parser(subparsers: Any) -> None:
    """Adds the command, with its subcommands."""
    parser = subparsers.add_parser(
        "kubeflow",
        help="compile, run and schedule the pipeline on Kubeflow Pipelines",
        description="Compiles the pipeline for Kubeflow Pipelines, runs and schedules it there, and shows its runs.",
        epilog=EPILOG,
    )
    commands = parser.add_subparsers(dest="kubeflow_command", required=True, metavar="COMMAND", title="commands")
    for command in COMMANDS.values():
        command.add_parser(commands)


def run(args: argparse.Namespace) -> int:
    """Runs a subcommand, and returns the exit status: 0, or 1 if the run on the cluster failed.

    Raises:
      UserError: the subcommand can't be carried out.
    """
    warnings.simplefilter("ignore")
    logging.getLogger().setLevel(logging.ERROR)
    quiet_tensorflow()
    try:
        return COMMANDS[args.kubeflow_command].run(args)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in EXTRA:
            raise
        install = "pip install -e '.[kubeflow]'"
        raise UserError(f"the extra `kubeflow` is not installed (no module {error.name}): {install}") from None
