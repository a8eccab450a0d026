"""`caption-pipeline kubeflow logs`: prints the logs of a run."""

import argparse
from typing import Any

EPILOG = """examples:
  caption-pipeline kubeflow logs RUN
  caption-pipeline kubeflow logs RUN Trainer
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "logs",
        help="print the logs of a run",
        description="Prints the logs of a run's steps, the oldest first; a step that was retried has several. The pods "
        "are found through the kubeconfig; logs are available only while the pod exists.",
        epilog=EPILOG,
    )
    parser.add_argument("run_id", metavar="RUN", help="ID of the run, as kubeflow runs prints it")
    parser.add_argument("step", metavar="STEP", nargs="?", help="only this step, e.g. Trainer")
    parser.add_argument("--namespace", default="kubeflow", help="namespace of the pipeline's pods (default: kubeflow)")
    parser.add_argument("--log-dir", metavar="DIR", help="read POD.log files from a directory instead of Kubernetes")


def run(args: argparse.Namespace) -> int:
    """Prints logs."""
    from captions_kubeflow import logs

    for pod, text in logs.read(args.namespace, args.run_id, args.step, args.log_dir):
        print(f"==> {pod}\n{text}")
    return 0
