"""Runs a compiled pipeline on this machine, node by node, with TFX's own launcher.

TFX's LocalDagRunner does the same, but tells nothing while it runs and can't start in the middle.
"""

import time
from collections.abc import Callable, Iterator

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, partial_run_utils, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from components import history
from pipeline import lineage, version
from pipeline.steps import State, Step

RESOLVER_TYPE = "tfx.dsl.components.common.resolver.Resolver"


class StepFailed(RuntimeError):
    """A step failed; the cause is the step's own exception."""

    def __init__(self, step_id: str):
        super().__init__(step_id)
        self.step_id = step_id


def compile_pipeline(
    pipeline: Pipeline, run_id: str, from_node: str | None = None, to_node: str | None = None
) -> pipeline_pb2.Pipeline:
    """Compiles a pipeline for one run.

    Args:
      pipeline: the graph.
      run_id: ML Metadata's name for the run; new.
      from_node: start here, with the outputs that the steps before it had in the last run that has them all.
      to_node: stop after this node.

    Returns:
      TFX's intermediate representation, marked for a partial run where one is asked for.

    Raises:
      ValueError: there is no such node, or no earlier run to start from.
    """
    ir = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    known = [step.id for step in steps_of(ir)]
    for option, node in (("--from", from_node), ("--to", to_node)):
        if node is not None and node not in known:
            raise ValueError(f"{option} {node}: no such step; the steps are {', '.join(known)}")
    if from_node or to_node:
        _mark_partial(ir, from_node, to_node)
    return ir


def run(ir: pipeline_pb2.Pipeline, on_change: Callable[[Step], None]) -> Iterator[Step]:
    """Runs the nodes in order.

    Args:
      ir: of `compile_pipeline`.
      on_change: called when a step starts, with the state `running`.

    Yields:
      each step when it has ended, also a failed one. Resolvers run, but are no steps.

    Raises:
      StepFailed: after the failed step was yielded.
    """
    steps = {step.id: step for step in steps_of(ir)}
    for node in (any_node.pipeline_node for any_node in ir.nodes):
        node_id = node.node_info.id
        step = steps.get(node_id, Step(node_id))
        if not node.execution_options.HasField("skip"):
            step.state, start = State.RUNNING, time.monotonic()
            if node_id in steps:
                on_change(step)
            cause = None
            try:
                step.state = launch(ir, node, lambda: metadata.Metadata(connection_of(ir)))
            except Exception as error:
                step.state, cause = State.FAILED, error
            step.seconds = time.monotonic() - start
        if node_id in steps:
            yield step
        if step.state == State.FAILED:
            raise StepFailed(node_id) from cause


def connection_of(ir: pipeline_pb2.Pipeline) -> metadata_store_pb2.ConnectionConfig:
    """How to reach the pipeline's ML Metadata."""
    config = runner_utils.extract_local_deployment_config(ir).metadata_connection_config
    return getattr(config, config.WhichOneof("connection_config"))


def steps_of(ir: pipeline_pb2.Pipeline) -> list[Step]:
    """The steps in the order in which they run. Resolvers, which only look something up, are none."""
    nodes = [node.pipeline_node.node_info for node in ir.nodes]
    return [Step(node.id) for node in nodes if node.type.name != RESOLVER_TYPE]


def launch(
    ir: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode, new_handle: Callable[[], metadata.Metadata]
) -> State:
    """Runs one node: driver, cache, executor, publisher.

    Args:
      ir: the compiled pipeline that the node is part of.
      node: which.
      new_handle: opens ML Metadata.

    Returns:
      how it ended.

    Raises:
      Exception: what the driver or the executor raised.
      RuntimeError: the node's inputs are not there.
    """
    node_id = node.node_info.id
    deployment = runner_utils.extract_local_deployment_config(ir)
    if node.execution_options.run.perform_snapshot:
        with new_handle() as handle:
            partial_run_utils.snapshot(handle, ir)
    info = launcher.Launcher(
        pipeline_node=node,
        mlmd_connection=new_handle(),
        pipeline_info=ir.pipeline_info,
        pipeline_runtime_spec=ir.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, node_id),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
    ).launch()
    with new_handle() as handle:
        [execution] = handle.store.get_executions_by_id([info.execution_id])
        if execution.last_known_state == metadata_store_pb2.Execution.CACHED:
            return State.CACHED
        if execution.last_known_state != metadata_store_pb2.Execution.COMPLETE:
            # the launcher says so in its log only
            raise RuntimeError(f"{node_id} could not be started: its inputs were not found")
        if commit := version.commit():
            execution.custom_properties[history.COMMIT].string_value = commit
            handle.store.put_executions([execution])
        return State.UNCHANGED if lineage.is_unchanged(handle.store, execution.id) else State.DONE


def _mark_partial(ir: pipeline_pb2.Pipeline, from_node: str | None, to_node: str | None) -> None:
    """Marks what to run and what to take over from an earlier run."""
    # a resolver's answer is never taken over: an earlier run's last blessed model may not be the last any more
    resolvers = [n.pipeline_node.node_info.id for n in ir.nodes if n.pipeline_node.node_info.type.name == RESOLVER_TYPE]
    partial_run_utils.mark_pipeline(
        ir, from_nodes=[from_node, *resolvers] if from_node else None, to_nodes=[to_node] if to_node else None
    )
    running = {n.pipeline_node.node_info.id for n in ir.nodes if n.pipeline_node.execution_options.HasField("run")}
    if not running - set(resolvers):
        raise ValueError(f"--from {from_node} --to {to_node}: no step lies between them")
    required = pipeline_pb2.NodeExecutionOptions.Skip.REQUIRED
    needed = [
        node.pipeline_node.node_info.id
        for node in ir.nodes
        if node.pipeline_node.execution_options.skip.reuse_artifacts_mode == required
    ]
    if not needed:
        return
    with metadata.Metadata(connection_of(ir)) as handle:
        base = lineage.last_run_with(handle, ir.pipeline_info.id, needed)
    if base is None:
        raise ValueError(f"--from {from_node}: no earlier run has finished {', '.join(needed)}; run without --from")
    partial_run_utils.set_base_pipeline_run_strategy(ir.runtime_spec.snapshot_settings, base)
