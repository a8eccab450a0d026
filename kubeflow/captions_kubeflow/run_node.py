"""Runs one node of the graph: the command of each step's container on Kubeflow Pipelines.

python -m captions_kubeflow.run_node --graph TEXT --node Trainer --run-id ID --metadata mysql://HOST/DATABASE
"""

import argparse
import functools
import gc
import logging
import os
import sys
import tempfile
from collections.abc import Sequence

from components.shared.progress import ThrottledProgress
from pipeline.console import LOG_FORMAT
from pipeline.errors import cause_lines

# heavy modules are imported once the temporary directory is set


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line, and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", required=True, help="the compiled graph")
    parser.add_argument("--node", required=True, help="the node to run")
    parser.add_argument("--run-id", required=True, help="ID of the run, the same for all its nodes")
    parser.add_argument("--metadata", metavar="URI", required=True, help="ML Metadata, see the setting metadata")
    parser.add_argument(
        "--param",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a parameter of the run, as in trainer_epochs 3; may be repeated",
    )
    parser.add_argument("--scratch", help="directory for temporary files if the system's is read-only")
    parser.add_argument("--executor-input", default="", help="KFP's executor input, to show metrics in its UI")
    args = parser.parse_args(argv)
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(ThrottledProgress())
    logging.basicConfig(level=logging.INFO, handlers=[handler], format=LOG_FORMAT, force=True)
    if args.scratch:
        _use_scratch(args.scratch)
    return _run(args)


def _use_scratch(directory: str) -> None:
    """Puts temporary files onto the volume if no other directory is writable."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        os.makedirs(directory, exist_ok=True)
        os.environ["TMPDIR"] = directory
        tempfile.tempdir = None


def _run(args: argparse.Namespace) -> int:
    from captions_kubeflow import graph, ui
    from components.shared.mlmd.runs import run_outputs
    from pipeline import database, root_owner, runner
    from pipeline.paths import Paths

    gc.freeze()  # as `pipeline.local_run`
    try:
        ir = graph.from_text(args.graph)
        graph.bind(ir, args.run_id, dict(args.param))
        new_handle = functools.partial(database.new_handle, database.connection_of(args.metadata))
        node = next(any_node.pipeline_node for any_node in ir.nodes if any_node.pipeline_node.node_info.id == args.node)
        with new_handle() as handle:
            root_owner.claim(handle.store, Paths(os.path.dirname(runner.pipeline_root_of(ir))))
        state = runner.launch(ir, node, new_handle)
        logging.info("%s %s", args.node, state.value)
        with new_handle() as handle:
            outputs = run_outputs(handle, ir.pipeline_info.id, args.run_id, [args.node]).get(args.node, {})
            ui.show(handle.store, outputs, args.executor_input)
    except Exception as error:
        # the cause is the last line, since users read the end of a log first
        logging.exception("%s failed", args.node)
        print(f"{args.node} failed: {cause_lines(error)[0]}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
