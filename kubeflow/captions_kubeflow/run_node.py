"""Runs one node of the graph: what the container of each step on Kubeflow Pipelines does.

python -m captions_kubeflow.run_node --graph TEXT --node Trainer --run-id ID --param trainer_epochs 3
"""

import argparse
import gc
import logging
import os
import sys
import tempfile
from collections.abc import Sequence

from components.progress import SparseProgress

# heavy things are imported after the temporary directory is known


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", required=True, help="the compiled graph")
    parser.add_argument("--node", required=True, help="the node to run")
    parser.add_argument("--run-id", required=True, help="the same for all nodes of a run")
    parser.add_argument("--param", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--scratch", help="directory for temporary files, where the system's is read-only")
    parser.add_argument("--executor-input", default="", help="of Kubeflow Pipelines, to show metrics in its UI")
    args = parser.parse_args(argv)
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(SparseProgress())
    form = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, handlers=[handler], format=form, force=True)
    if args.scratch:
        _use_scratch(args.scratch)
    return _run(args)


def _use_scratch(directory: str) -> None:
    """Puts temporary files onto the volume if there is no other place for them."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        os.makedirs(directory, exist_ok=True)
        os.environ["TMPDIR"] = directory
        tempfile.tempdir = None


def _run(args: argparse.Namespace) -> int:
    from captions_kubeflow import database, graph, ui
    from pipeline import lineage, runner

    gc.freeze()  # as `pipeline.local_run`
    try:
        ir = graph.from_text(args.graph)
        graph.bind(ir, args.run_id, dict(args.param))
        connection = database.connection_from(os.environ)
        node = next(any_node.pipeline_node for any_node in ir.nodes if any_node.pipeline_node.node_info.id == args.node)

        def new_handle() -> database.PatientMetadata:
            return database.PatientMetadata(connection)

        state = runner.launch(ir, node, new_handle)
        logging.info("%s %s", args.node, state.value)
        with new_handle() as handle:
            name = ir.pipeline_info.id
            outputs = lineage.run_outputs(handle, name, args.run_id, [args.node]).get(args.node, {})
            ui.show(handle.store, outputs, args.executor_input)
    except Exception as error:
        # the cause last and in one line: the end of a log is what is read
        logging.exception("%s failed", args.node)
        print(f"{args.node} failed: {_one_line(error)}", file=sys.stderr, flush=True)
        return 1
    return 0


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


if __name__ == "__main__":
    sys.exit(main())
