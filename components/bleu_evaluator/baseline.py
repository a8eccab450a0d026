"""The baseline: the model that a candidate has to beat."""

import hashlib
import os
from collections.abc import Mapping

from ml_metadata import MetadataStore
from tfx.components.evaluator import constants
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from components.shared import storage
from components.shared.contents import damaged_file
from components.shared.mlmd.executions import last_producers
from components.shared.progress import LOGGER


class LastBlessedModel(LatestBlessedModelStrategy):
    """Resolves to the model that was blessed last, with its blessing.

    TFX's strategy resolves to the blessed model that was trained last. The two differ once an older model is blessed
    again: when settings are reverted and the Trainer is cached.
    """

    def resolve_artifacts(
        self, store: MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """See TFX's; an empty list stands for no artifact."""
        models = {model.id: model for model in _of_type(input_dict, standard_artifacts.Model)}
        blessings = [
            blessing
            for blessing in _of_type(input_dict, standard_artifacts.ModelBlessing)
            if blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == 1
            and blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY) in models
        ]
        last_execution = last_producers(store, [blessing.id for blessing in blessings])
        for blessing in sorted(blessings, key=lambda blessing: -last_execution.get(blessing.id, 0)):
            model = models[blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY)]
            if not _is_damaged(model):
                return {key: [blessing if blessing in artifacts else model] for key, artifacts in input_dict.items()}
        return {key: [] for key in input_dict}


def _is_damaged(model: Artifact) -> bool:
    """Whether files of a model are empty, cut or zeros, as after a power cut; a model that is gone can be restored."""
    path = damaged_file(model.mlmd_artifact)
    if path:
        LOGGER.warning("%s is damaged: this model is no baseline any more", path)
    return path is not None


def _of_type(input_dict: Mapping[str, list[Artifact]], artifact_type: type[Artifact]) -> list[Artifact]:
    return [artifact for artifacts in input_dict.values() for artifact in artifacts if artifact.type is artifact_type]


def hash_of_files(directory: str) -> str:
    """Hashes the names and contents of all files below a directory, which need not exist."""
    digest = hashlib.sha256()
    for name in storage.list_files(directory):
        digest.update(f"{name}\0{_content(os.path.join(directory, name))}\0".encode())
    return digest.hexdigest()[:16]


def _content(path: str) -> str | None:
    """The hash of a file; None for a dangling link and the like, of which loading the model shows if it matters."""
    try:
        return storage.sha256(path)
    except OSError:
        return None
