"""What ML Metadata knows of a model's past."""

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.records import CANDIDATE_ID, DECISION, UNCHANGED


def evaluation_of(store: MetadataStore, model_id: int) -> metadata_store_pb2.Artifact | None:
    """The latest evaluation in which a model was measured; None if there is none."""
    evaluations = [
        artifact
        for artifact in store.get_artifacts_by_type("ModelEvaluation")
        if artifact.custom_properties[CANDIDATE_ID].int_value == model_id
        and artifact.custom_properties[DECISION].string_value != UNCHANGED
        and artifact.state == metadata_store_pb2.Artifact.LIVE
    ]
    return max(evaluations, key=lambda artifact: artifact.id, default=None)
