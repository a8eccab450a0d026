"""What is known of a model: its evaluation and its report."""

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.shared.contents import damaged_file
from components.shared.records import CANDIDATE_ID, DECISION, TEST_SET, UNCHANGED


def evaluation_of(store: MetadataStore, model_id: int) -> metadata_store_pb2.Artifact | None:
    """The latest evaluation with metrics of a model; None if there is none."""
    return _latest_about(store, "ModelEvaluation", model_id)


def report_of(store: MetadataStore, model_id: int) -> metadata_store_pb2.Artifact | None:
    """The latest report about a model; None if there is none."""
    return _latest_about(store, "captions.Report", model_id)


def evaluation_with_results(
    store: MetadataStore, evaluation: metadata_store_pb2.Artifact
) -> metadata_store_pb2.Artifact | None:
    """The evaluation itself; where the candidate was the blessed model, the latest one with metrics of that model."""
    return evaluation if has_results(evaluation) else evaluation_of(store, _model_of(evaluation))


def report_with_results(
    store: MetadataStore, report: metadata_store_pb2.Artifact
) -> metadata_store_pb2.Artifact | None:
    """The report itself; where the candidate was the blessed model, the latest one about that model."""
    return report if has_results(report) else report_of(store, _model_of(report))


def has_results(artifact: metadata_store_pb2.Artifact) -> bool:
    """Whether an evaluation has metrics, or a report a page: not where the candidate was the blessed model itself."""
    properties = artifact.custom_properties  # reading an absent key would add it
    return properties[DECISION].string_value != UNCHANGED or TEST_SET in properties


def _model_of(artifact: metadata_store_pb2.Artifact) -> int:
    return artifact.custom_properties[CANDIDATE_ID].int_value


def _latest_about(store: MetadataStore, type_name: str, model_id: int) -> metadata_store_pb2.Artifact | None:
    artifacts = [
        artifact
        for artifact in store.get_artifacts_by_type(type_name)
        if artifact.custom_properties[CANDIDATE_ID].int_value == model_id
        and has_results(artifact)
        and artifact.state == metadata_store_pb2.Artifact.LIVE
    ]
    newest_first = sorted(artifacts, key=lambda artifact: -artifact.id)
    return next((artifact for artifact in newest_first if damaged_file(artifact) is None), None)
