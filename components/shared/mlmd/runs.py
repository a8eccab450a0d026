"""Pipelines and their runs."""

from collections.abc import Iterator, Sequence

from ml_metadata import ListOptions, MetadataStore, OrderByField, errors
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler_utils, constants
from tfx.orchestration import metadata
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.types.artifact import Artifact

from components.shared.mlmd.executions import node_in, outputs_of

# A run is in progress while one of its steps is running, and for a moment after that: the next step is about to start.
# A step that was killed stays "running" in ML Metadata until the next run closes it, so that state expires.
MAX_STEP_SECONDS, SECONDS_BETWEEN_STEPS = 7 * 24 * 3600.0, 10.0
MAX_EXECUTIONS = 1000  # the newest, among which those of killed runs are looked for


def pipeline_named(store: MetadataStore, pipeline_name: str) -> metadata_store_pb2.Context | None:
    """The context of a pipeline; None if it has never run."""
    return store.get_context_by_type_and_name(constants.PIPELINE_CONTEXT_TYPE_NAME, pipeline_name)


def other_pipelines(store: MetadataStore, pipeline_name: str) -> list[str]:
    """The names of the other pipelines in ML Metadata, sorted."""
    names = sorted(context.name for context in store.get_contexts_by_type(constants.PIPELINE_CONTEXT_TYPE_NAME))
    return [name for name in names if name != pipeline_name]


def runs_of(store: MetadataStore, pipeline_name: str) -> list[metadata_store_pb2.Context]:
    """The runs of a pipeline, the oldest first."""
    pipeline = pipeline_named(store, pipeline_name)
    runs = store.get_children_contexts_by_context(pipeline.id) if pipeline else []
    return sorted(runs, key=lambda run: (run.create_time_since_epoch, run.id))


def executions_by_node(
    store: MetadataStore, run: metadata_store_pb2.Context
) -> list[tuple[str, metadata_store_pb2.Execution]]:
    """(node, execution) of a run, in the order in which they started."""
    executions = sorted(store.get_executions_by_context(run.id), key=lambda execution: execution.id)
    return [
        (node_in(context.name), execution)
        for execution in executions
        for context in store.get_contexts_by_execution(execution.id)
        if context.type == constants.NODE_CONTEXT_TYPE_NAME
    ]


def node_executions(store: MetadataStore, pipeline_name: str, node_id: str) -> list[metadata_store_pb2.Execution]:
    """All executions of a node, in any order."""
    node = _node(store, pipeline_name, node_id)
    return store.get_executions_by_context(node.id) if node else []


def running_runs(store: MetadataStore, pipeline_name: str, now: float) -> Iterator[str]:
    """The runs of a pipeline that seem to be in progress.

    Args:
      store: ML Metadata.
      pipeline_name: the pipeline.
      now: the time, in seconds since 1970.
    """
    for run in runs_of(store, pipeline_name):
        executions = store.get_executions_by_context(run.id)
        last_update = max((each.last_update_time_since_epoch / 1e3 for each in executions), default=0.0)
        if last_update > now - SECONDS_BETWEEN_STEPS or any(is_running(each, now) for each in executions):
            yield run.name


def is_running(execution: metadata_store_pb2.Execution, now: float) -> bool:
    """Whether an execution seems to be in progress; one that started long ago was killed."""
    started = execution.create_time_since_epoch / 1e3
    return execution_lib.is_execution_running(execution) and started > now - MAX_STEP_SECONDS


def running_executions(store: MetadataStore) -> list[metadata_store_pb2.Execution]:
    """The executions of all pipelines that ML Metadata calls running, those of killed processes included.

    Only the newest are looked at: each run closes those that were killed before it.
    """
    # ML Metadata on Python 3.13 knows no `filter_query`
    newest = ListOptions(limit=MAX_EXECUTIONS, order_by=OrderByField.CREATE_TIME, is_asc=False)
    executions = store.get_executions(list_options=newest)
    return [execution for execution in executions if execution_lib.is_execution_running(execution)]


def run_and_node(store: MetadataStore, execution_id: int) -> tuple[str, str] | None:
    """The run and the node that an execution belongs to; None if it belongs to no run."""
    try:
        names = {context.type: context.name for context in store.get_contexts_by_execution(execution_id)}
    except errors.NotFoundError:  # it belongs to nothing
        return None
    run = names.get(constants.PIPELINE_RUN_CONTEXT_TYPE_NAME)
    node = names.get(constants.NODE_CONTEXT_TYPE_NAME)
    return (run, node_in(node)) if run and node else None


def run_outputs(
    handle: metadata.Metadata, pipeline_name: str, run_id: str, node_ids: Sequence[str]
) -> dict[str, dict[str, Artifact]]:
    """The outputs of a run: node -> output key -> artifact, of the nodes that succeeded."""
    run = handle.store.get_context_by_type_and_name(constants.PIPELINE_RUN_CONTEXT_TYPE_NAME, run_id)
    outputs = {}
    for node_id in node_ids:
        execution = _successful(handle, pipeline_name, run, node_id)
        if execution is not None:
            outputs[node_id] = outputs_of(handle.store, execution.id)
    return outputs


def last_run_with(handle: metadata.Metadata, pipeline_name: str, node_ids: Sequence[str]) -> str | None:
    """The latest run in which all of some nodes succeeded; None if there is none."""
    return next(runs_with(handle, pipeline_name, node_ids), None)


def runs_with(handle: metadata.Metadata, pipeline_name: str, node_ids: Sequence[str]) -> Iterator[str]:
    """The runs in which all of some nodes succeeded, the latest first."""
    for run in reversed(runs_of(handle.store, pipeline_name)):
        if all(_successful(handle, pipeline_name, run, node_id) for node_id in node_ids):
            yield run.name


def _successful(
    handle: metadata.Metadata, pipeline_name: str, run: metadata_store_pb2.Context | None, node_id: str
) -> metadata_store_pb2.Execution | None:
    """The latest successful execution of a node in a run, cached ones included."""
    node = _node(handle.store, pipeline_name, node_id)
    if run is None or node is None:
        return None
    # without TFX's query for both contexts, a `filter_query`: ML Metadata on Python 3.13 warns of it, and then fails
    executions = [
        execution
        for execution in handle.store.get_executions_by_context(run.id)
        if node.id in {context.id for context in handle.store.get_contexts_by_execution(execution.id)}
    ]
    successful = filter(execution_lib.is_execution_successful, executions)
    return max(successful, key=lambda execution: execution.id, default=None)


def _node(store: MetadataStore, pipeline_name: str, node_id: str) -> metadata_store_pb2.Context | None:
    name = compiler_utils.node_context_name(pipeline_name, node_id)
    return store.get_context_by_type_and_name(constants.NODE_CONTEXT_TYPE_NAME, name)
