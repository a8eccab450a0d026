"""Options that several subcommands share."""

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from captions_kubeflow.server import Server

    from pipeline.config import Config


PARAMETERS = (  # as `captions_kubeflow.parameters`, which the help does without
    "data.dir",
    "data.max_images",
    "data.max_reject_fraction",
    "feature_extractor.backbone",
    "feature_extractor.weights",
    "trainer.epochs",
    "evaluator.min_bleu_4",
    "evaluator.min_bleu_4_improvement",
)


def server_options() -> argparse.ArgumentParser:
    """Builds the options that name the server."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--host",
        metavar="URL",
        default=os.environ.get("KFP_HOST"),
        help="address of Kubeflow Pipelines (default: $KFP_HOST, else a port-forward to the cluster in your "
        "kubeconfig)",
    )
    return parser


def parameter_options() -> argparse.ArgumentParser:
    """Builds the options that set the parameters of a run."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--param",
        metavar="KEY=VALUE",
        action="extend",
        nargs="+",
        default=[],
        help=f"set parameters of the run, e.g. trainer.epochs=3: {', '.join(PARAMETERS)}",
    )
    return parser


def run_parameters(args: argparse.Namespace) -> dict[str, str | int | float]:
    """Parses the parameters of a run, and rejects those that the config or the cluster would reject."""
    from captions_kubeflow import cluster_paths, parameters

    from pipeline import config_files

    values = parameters.parse_arguments(args.param)
    cluster_paths.on_cluster(config_files.load(args.config, [*args.overrides, *parameters.overrides(values)]))
    return values


def connect(args: argparse.Namespace, config: "Config") -> "Server":
    """Connects to the server."""
    from captions_kubeflow.server import Server

    return Server.connect(args.host, config.name, config.kubeflow.service_account)


@contextlib.contextmanager
def compiled(config: "Config") -> Iterator[str]:
    """Compiles the pipeline into a temporary file, and yields its path."""
    from pipeline import console

    with console.suppress_stderr():
        from captions_kubeflow import compiler
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "pipeline.yaml")
        compiler.compile_to(config, path)
        yield path
