"""Which model a candidate has to beat."""

from collections.abc import Mapping

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.components.evaluator import constants
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact


class LastBlessedModel(LatestBlessedModelStrategy):
    """Resolves to the model that was blessed last, with its blessing.

    TFX's strategy takes the blessed model that was trained last. That is another one after an older model has been
    blessed again, as it is when settings are taken back and the Trainer is answered from the cache.
    """

    def resolve_artifacts(
        self, store: MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """See TFX's; what was not found is an empty list."""
        models = {model.id: model for model in _of_type(input_dict, standard_artifacts.Model)}
        blessings = [
            blessing
            for blessing in _of_type(input_dict, standard_artifacts.ModelBlessing)
            if blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == 1
            and blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY) in models
        ]
        if not blessings:
            return {key: [] for key in input_dict}
        given = _last_given(store, [blessing.id for blessing in blessings])
        last = max(blessings, key=lambda blessing: given.get(blessing.id, 0))
        model = models[last.get_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY)]
        return {key: [last if last in artifacts else model] for key, artifacts in input_dict.items()}


def _of_type(input_dict: Mapping[str, list[Artifact]], artifact_type: type[Artifact]) -> list[Artifact]:
    return [artifact for artifacts in input_dict.values() for artifact in artifacts if artifact.type is artifact_type]


def _last_given(store: MetadataStore, artifact_ids: list[int]) -> dict[int, int]:
    """Artifact -> id of the last execution that put it out; one that the cache answered counts as well."""
    last: dict[int, int] = {}
    for event in store.get_events_by_artifact_ids(artifact_ids):
        if event.type == metadata_store_pb2.Event.OUTPUT:
            last[event.artifact_id] = max(last.get(event.artifact_id, 0), event.execution_id)
    return last
