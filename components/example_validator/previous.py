"""The previous data, as ML Metadata knows it."""

from collections.abc import Iterator

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.portable.mlmd import execution_lib

from components.shared import storage
from components.shared.mlmd.executions import inputs_and_outputs
from components.shared.mlmd.runs import node_executions


def previous_statistics(store: MetadataStore, pipeline_name: str, node_id: str, statistics_id: int) -> str:
    """The statistics of the last other data that passed a validator.

    Data that it rejected is nothing to compare with. When the same data comes again, and again, the answer stays the
    same, so that the step is cached; when it comes back after other data, the answer is that other data.

    Args:
      store: ML Metadata.
      pipeline_name: the pipeline of the validator.
      node_id: the validator in the pipeline.
      statistics_id: ID of the artifact that is validated now.

    Returns:
      their URI; "" if there are none.
    """
    for artifact in _passed(store, pipeline_name, node_id):
        is_live = artifact.state == metadata_store_pb2.Artifact.LIVE
        if artifact.id != statistics_id and is_live and storage.is_directory(artifact.uri):
            return artifact.uri
    return ""


def _passed(store: MetadataStore, pipeline_name: str, node_id: str) -> Iterator[metadata_store_pb2.Artifact]:
    """The statistics that the validator's executions have read and that did not make them fail, the newest first."""
    executions = filter(execution_lib.is_execution_successful, node_executions(store, pipeline_name, node_id))
    for execution in sorted(executions, key=lambda execution: execution.id, reverse=True):
        inputs, _ = inputs_and_outputs(store, execution.id)
        yield from inputs.get("statistics", [])
