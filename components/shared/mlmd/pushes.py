"""The versions that were pushed, and the models that they are versions of."""

import dataclasses
import os
from collections.abc import Iterable

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.utils import path_utils

from components.shared import storage
from components.shared.contents import are_equal
from components.shared.mlmd.executions import first_producers, inputs_and_outputs
from components.shared.mlmd.runs import pipeline_named
from components.shared.records import ROLLED_BACK

# types of TFX, and custom properties of its Pusher
PUSHED_MODEL, MODEL = "PushedModel", "Model"
VERSION, DESTINATION = "pushed_version", "pushed_destination"


@dataclasses.dataclass(frozen=True)
class Push:
    """A version that ML Metadata knows.

    Attributes:
      version: its name below the serving directory.
      artifact: the artifact, of type PushedModel.
      model: the model that was pushed.
      blessing: the blessing that allowed the push.
    """

    version: str
    artifact: metadata_store_pb2.Artifact
    model: metadata_store_pb2.Artifact
    blessing: metadata_store_pb2.Artifact

    @property
    def is_rolled_back(self) -> bool:
        """Whether the model was taken from service."""
        return ROLLED_BACK in self.model.custom_properties


def pushes_of(store: MetadataStore, pipeline_name: str) -> list[Push]:
    """The versions that a pipeline has pushed, the oldest first."""
    pipeline = pipeline_named(store, pipeline_name)
    pushes: dict[str, Push] = {}
    for artifact in store.get_artifacts_by_context(pipeline.id) if pipeline else []:
        version = artifact.custom_properties[VERSION].string_value
        if artifact.type != PUSHED_MODEL or not version or version in pushes:
            continue
        inputs = _inputs_of_producer(store, artifact)
        if "model" in inputs and "model_blessing" in inputs:
            pushes[version] = Push(version, artifact, inputs["model"][0], inputs["model_blessing"][0])
    return sorted(pushes.values(), key=lambda push: int(push.version))


def pushed_destinations(store: MetadataStore) -> list[str]:
    """The directories of the versions that any pipeline has pushed, the oldest first."""
    pushed = sorted(store.get_artifacts_by_type(PUSHED_MODEL), key=lambda artifact: artifact.id)
    destinations = dict.fromkeys(artifact.custom_properties[DESTINATION].string_value for artifact in pushed)
    return list(filter(None, destinations))


def model_at(store: MetadataStore, directory: str) -> metadata_store_pb2.Artifact | None:
    """The model whose pushed version or artifact is a directory, or contains it, or has the same files.

    Args:
      store: ML Metadata.
      directory: the directory, without symbolic links.

    Returns:
      an artifact of type Model; None if ML Metadata knows no model there.
    """
    for pushed in sorted(store.get_artifacts_by_type(PUSHED_MODEL), key=lambda artifact: -artifact.id):
        if _real_path(pushed.custom_properties[DESTINATION].string_value or "/") == directory:
            models = _inputs_of_producer(store, pushed).get("model")
            return models[0] if models else None
    models = store.get_artifacts_by_type(MODEL)
    for model in models:
        place = _real_path(model.uri)
        if directory == place or directory.startswith(place + os.sep):
            return model
    return model_with_files_of(models, directory)  # a version whose push was killed before it was recorded


def _real_path(path: str) -> str:
    """A path without symbolic links, of which a bucket has none."""
    return os.path.realpath(path) if storage.is_local(path) else path


def models_of(store: MetadataStore, pipeline_name: str) -> list[metadata_store_pb2.Artifact]:
    """The models of a pipeline, pushed or not."""
    pipeline = pipeline_named(store, pipeline_name)
    artifacts = store.get_artifacts_by_context(pipeline.id) if pipeline else []
    return [artifact for artifact in artifacts if artifact.type == MODEL]


def model_with_files_of(
    models: Iterable[metadata_store_pb2.Artifact], directory: str
) -> metadata_store_pb2.Artifact | None:
    """The newest of some models that has the same files as a SavedModel; None if none has."""
    if not storage.list_files(directory):
        return None
    newest_first = sorted(models, key=lambda model: -model.id)
    return next((m for m in newest_first if are_equal(directory, path_utils.serving_model_path(m.uri))), None)


def _inputs_of_producer(
    store: MetadataStore, artifact: metadata_store_pb2.Artifact
) -> dict[str, list[metadata_store_pb2.Artifact]]:
    """The inputs of the execution that made an artifact."""
    producers = first_producers(store, [artifact.id])
    return inputs_and_outputs(store, producers[artifact.id])[0] if artifact.id in producers else {}
