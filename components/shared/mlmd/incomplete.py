"""Results that were made while some files could not be read, perhaps only for a moment."""

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.shared.records import INCOMPLETE


def last_incomplete(store: MetadataStore, type_name: str, name: str, value: int | str) -> int:
    """The ID of the newest incomplete artifact; 0 without any.

    A part of its step's cache key, it keeps the artifact from being used again: the next run has another key, and keeps
    it once its result is complete.

    Args:
      store: ML Metadata.
      type_name: the type of the artifact.
      name: a custom property of the artifact that tells whether it is about the same thing.
      value: what this property must be.
    """
    ids = [
        artifact.id
        for artifact in store.get_artifacts_by_type(type_name)
        if is_incomplete(artifact)
        and name in artifact.custom_properties
        and value in (artifact.custom_properties[name].int_value, artifact.custom_properties[name].string_value)
    ]
    return max(ids, default=0)


def is_incomplete(artifact: metadata_store_pb2.Artifact) -> bool:
    """Whether some files could not be read when an artifact was made."""
    return INCOMPLETE in artifact.custom_properties
