"""Runs a compiled pipeline on this machine, node by node, with TFX's own launcher.

TFX's LocalDagRunner does the same, but reports nothing while it runs and cannot start in the middle.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import partial_run_utils, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from components.shared.contents import damaged_file
from components.shared.mlmd.executions import COMMIT, is_unchanged, outputs_of
from components.shared.mlmd.runs import run_outputs, runs_with
from components.shared.records import CHECKPOINT_DIR
from components.trainer import checkpoints
from pipeline import database, operators, reuse, version
from pipeline.errors import UserError
from pipeline.step_states import State, Step

RESOLVER_TYPE = "tfx.dsl.components.common.resolver.Resolver"


class PartialRunError(UserError):
    """The part of the pipeline that was asked for cannot be run."""


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
      run_id: the new run's ID in ML Metadata.
      from_node: the first step to run; the steps before it keep the outputs of the last run that has them all.
      to_node: the last step to run.

    Returns:
      TFX's intermediate representation, marked for a partial run if one is asked for.

    Raises:
      PartialRunError: there is no such step, or no earlier run to start from.
    """
    ir = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    step_ids = [step.id for step in steps_of(ir)]
    for option, node in (("--from", from_node), ("--to", to_node)):
        if node is not None and node not in step_ids:
            raise PartialRunError(f"{option} {node}: no such step; the steps are {', '.join(step_ids)}")
    if from_node or to_node:
        _mark_partial(ir, from_node, to_node)
    return ir


def run(ir: pipeline_pb2.Pipeline, on_change: Callable[[Step], None]) -> Iterator[Step]:
    """Runs the nodes in order.

    Args:
      ir: the compiled pipeline, of `compile_pipeline`.
      on_change: a function that is called when a step starts, with the state `running`.

    Yields:
      the steps as they end, a failed one included. Resolvers run, but are not steps.

    Raises:
      StepFailed: a step failed, after it was yielded.
    """
    steps = {step.id: step for step in steps_of(ir)}
    for node in (any_node.pipeline_node for any_node in ir.nodes):
        node_id = node.node_info.id
        step = steps.get(node_id, Step(node_id))
        if not node.execution_options.HasField("skip"):
            step.state, start = State.RUNNING, time.monotonic()
            if node_id in steps:
                on_change(step)
            logging.info("step %s starts", node_id)
            cause = None
            try:
                step.state = launch(ir, node, lambda: database.new_handle(connection_of(ir)))
            except Exception as error:
                step.state, cause = State.FAILED, error
            step.seconds = time.monotonic() - start
            logging.info("step %s: %s", node_id, step.state.value)
        if node_id in steps:
            yield step
        if step.state == State.FAILED:
            raise StepFailed(node_id) from cause


def connection_of(ir: pipeline_pb2.Pipeline) -> metadata_store_pb2.ConnectionConfig:
    """The connection to the pipeline's ML Metadata, for `database.new_handle`."""
    config = runner_utils.extract_local_deployment_config(ir).metadata_connection_config
    return getattr(config, config.WhichOneof("connection_config"))


def pipeline_root_of(ir: pipeline_pb2.Pipeline) -> str:
    """TFX's pipeline root, `Paths.artifacts`."""
    return ir.runtime_spec.pipeline_root.field_value.string_value


def steps_of(ir: pipeline_pb2.Pipeline) -> list[Step]:
    """The steps in the order in which they run, without resolvers, which only look something up."""
    nodes = [node.pipeline_node.node_info for node in ir.nodes]
    return [Step(node.id) for node in nodes if node.type.name != RESOLVER_TYPE]


def launch(
    ir: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode, new_handle: Callable[[], metadata.Metadata]
) -> State:
    """Runs one node: driver, cache, executor, publisher.

    Args:
      ir: the compiled pipeline that the node is part of.
      node: the node to run.
      new_handle: a function that opens ML Metadata.

    Returns:
      the state in which it ended.

    Raises:
      Exception: the exception of the driver or the executor.
      RuntimeError: the node's inputs do not exist.
    """
    node_id = node.node_info.id
    deployment = runner_utils.extract_local_deployment_config(ir)
    if node.execution_options.run.perform_snapshot:
        with new_handle() as handle:
            partial_run_utils.snapshot(handle, ir)
    executor_spec = runner_utils.extract_executor_spec(deployment, node_id)
    node_launcher = reuse.Launcher(
        pipeline_node=node,
        mlmd_connection=new_handle(),
        pipeline_info=ir.pipeline_info,
        pipeline_runtime_spec=ir.runtime_spec,
        executor_spec=executor_spec,
        # a step without a driver of its own has its outputs checked, too
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id) or operators.Python(),
        custom_executor_operators=operators.EXECUTOR_OPERATORS,
        custom_driver_operators=operators.driver_operators(executor_spec),
    )
    info = node_launcher.launch()
    with new_handle() as handle:
        [execution] = handle.store.get_executions_by_id([info.execution_id])
        for output in outputs_of(handle.store, execution.id).values():
            if directory := output.get_string_custom_property(CHECKPOINT_DIR):
                checkpoints.remove(directory)  # now that what was trained is recorded
        if execution.last_known_state == metadata_store_pb2.Execution.CACHED:
            return State.DONE if node_launcher.has_reused else State.CACHED
        if execution.last_known_state != metadata_store_pb2.Execution.COMPLETE:
            # the launcher only logs it
            raise RuntimeError(f"{node_id} could not be started: its inputs were not found")
        if commit := version.commit():
            execution.custom_properties[COMMIT].string_value = commit
            handle.store.put_executions([execution])
        return State.UNCHANGED if is_unchanged(handle.store, execution.id) else State.DONE


def _mark_partial(ir: pipeline_pb2.Pipeline, from_node: str | None, to_node: str | None) -> None:
    """Marks which nodes run and which keep the outputs of an earlier run."""
    nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in ir.nodes}
    # a resolver always runs: an earlier run's last blessed model may no longer be the last one
    resolvers = [name for name, node in nodes.items() if node.node_info.type.name == RESOLVER_TYPE]
    partial_run_utils.mark_pipeline(
        ir, from_nodes=[from_node, *resolvers] if from_node else None, to_nodes=[to_node] if to_node else None
    )
    if not {name for name, node in nodes.items() if node.execution_options.HasField("run")} - set(resolvers):
        raise PartialRunError(f"--from {from_node} --to {to_node}: no step lies between them")
    required = pipeline_pb2.NodeExecutionOptions.Skip.REQUIRED
    skipped = {
        name: set(node.outputs.outputs)
        for name, node in nodes.items()
        if node.execution_options.skip.reuse_artifacts_mode == required
    }
    if not skipped:
        return
    with database.new_handle(connection_of(ir)) as handle:
        base = _last_run_with(handle, ir.pipeline_info.id, skipped)
    if base is None:
        names = ", ".join(skipped)
        raise PartialRunError(f"--from {from_node}: no earlier run has completed {names}; run without --from first")
    partial_run_utils.set_base_pipeline_run_strategy(ir.runtime_spec.snapshot_settings, base)


def _last_run_with(handle: metadata.Metadata, pipeline_name: str, outputs: Mapping[str, set[str]]) -> str | None:
    """The latest run in which some nodes have all their outputs intact; those of other versions may have had fewer."""
    for run_id in runs_with(handle, pipeline_name, list(outputs)):
        outputs_of_run = run_outputs(handle, pipeline_name, run_id, list(outputs))
        artifacts = [artifact for of_node in outputs_of_run.values() for artifact in of_node.values()]
        is_damaged = any(damaged_file(artifact.mlmd_artifact) for artifact in artifacts)
        if not is_damaged and all(keys <= outputs_of_run[node].keys() for node, keys in outputs.items()):
            return run_id
    return None
