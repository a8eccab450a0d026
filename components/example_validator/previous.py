"""The data before this, as ML Metadata knows it."""

import os
from collections.abc import Iterator

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler_utils, constants
from tfx.dsl.io import fileio
from tfx.orchestration.portable.mlmd import execution_lib

_INPUTS = (metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.DECLARED_INPUT)


def statistics_before(store: MetadataStore, pipeline_name: str, node_id: str, statistics_id: int) -> str:
    """The statistics of the other data that a validator let pass last.

    Data that it refused is nothing to compare with. When the same data comes again, and again, the answer stays the
    same, so that the step is cached; when it comes back after other data, the answer is that other data.

    Args:
      store: ML Metadata.
      pipeline_name: whose.
      node_id: the validator in the pipeline.
      statistics_id: of the artifact that is to be validated now.

    Returns:
      their uri; "" if there are none.
    """
    for artifact_id in _let_pass(store, pipeline_name, node_id):
        if artifact_id != statistics_id:
            [artifact] = store.get_artifacts_by_id([artifact_id])
            is_live = artifact.state == metadata_store_pb2.Artifact.LIVE
            if is_live and fileio.exists(os.path.join(artifact.uri, "")):
                return artifact.uri
    return ""


def _let_pass(store: MetadataStore, pipeline_name: str, node_id: str) -> Iterator[int]:
    """Ids of the statistics that the validator's executions read and that did not make them fail, newest first."""
    node = store.get_context_by_type_and_name(
        constants.NODE_CONTEXT_TYPE_NAME, compiler_utils.node_context_name(pipeline_name, node_id)
    )
    if node is None:
        return
    executions = store.get_executions_by_context(node.id)
    # complete, or answered from the cache
    successful = [execution.id for execution in executions if execution_lib.is_execution_successful(execution)]
    events = store.get_events_by_execution_ids(successful) if successful else []
    for event in sorted(events, key=lambda event: event.execution_id, reverse=True):
        if event.type in _INPUTS and event.path.steps[0].key == "statistics":
            yield event.artifact_id
