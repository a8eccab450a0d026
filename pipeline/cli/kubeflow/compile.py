"""`caption-pipeline kubeflow compile`: writes the compiled pipeline as a file."""

import argparse
from typing import Any

from pipeline.cli.arguments import load_config, settings_parser

EPILOG = """examples:
  caption-pipeline kubeflow compile --config my.yaml --output captions.yaml
  caption-pipeline kubeflow compile --config my.yaml --target vertex --set root=gs://BUCKET/NAME
"""


def add_parser(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser(
        "compile",
        parents=[settings_parser(root=False)],
        help="write the compiled pipeline as a file",
        description="Writes the compiled pipeline as a file to upload, and lists its parameters.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="output file, which is replaced if it exists (default: NAME.yaml, or NAME.json for vertex)",
    )
    parser.add_argument("--target", choices=["kfp", "vertex"], default="kfp", help="target service (default: kfp)")


def run(args: argparse.Namespace) -> int:
    """Compiles the pipeline."""
    from pipeline import console

    config = load_config(args)
    if args.target == "vertex":
        with console.suppress_stderr():
            from captions_kubeflow import vertex
        path = args.output or f"{config.name}.json"
        vertex.compile_to(config, path)
        print(f"Wrote {path} for Vertex AI Pipelines")
        return 0
    with console.suppress_stderr():
        from captions_kubeflow import compiler
    path = args.output or f"{config.name}.yaml"
    parameters = compiler.compile_to(config, path)
    print(f"Wrote {path} for Kubeflow Pipelines, image {config.kubeflow.image}; parameters:")
    for parameter in parameters:
        print(f"  {parameter.name} = {parameter.default!r}")
    if config.kubeflow.service_account:
        print(f"Choose the service account {config.kubeflow.service_account} when you start a run of it")
    return 0
