"""The data before this, as ML Metadata knows it."""

import os

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.dsl.io import fileio
from tfx.types import standard_artifacts


def statistics_before(store: MetadataStore, pipeline_name: str, statistics_id: int) -> str:
    """The statistics that a pipeline made before some others, of other data: the same data's come from the cache.

    Args:
      store: ML Metadata.
      pipeline_name: whose.
      statistics_id: of the artifact that they are to come before.

    Returns:
      their uri; "" if there are none.
    """
    pipeline = store.get_context_by_type_and_name(constants.PIPELINE_CONTEXT_TYPE_NAME, pipeline_name)
    if pipeline is None:
        return ""
    type_id = store.get_artifact_type(standard_artifacts.ExampleStatistics.TYPE_NAME).id
    found = [
        artifact
        for artifact in store.get_artifacts_by_context(pipeline.id)
        if artifact.type_id == type_id
        and artifact.id < statistics_id
        and artifact.state == metadata_store_pb2.Artifact.LIVE
        and fileio.exists(os.path.join(artifact.uri, ""))
    ]
    return max(found, key=lambda artifact: artifact.id).uri if found else ""
