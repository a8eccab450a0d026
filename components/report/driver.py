"""The report's driver: finds the evaluation to report, and the lineage, in ML Metadata."""

import json
from collections.abc import Mapping
from typing import Any

from ml_metadata import MetadataStore
from tfx.orchestration.portable import data_types
from tfx.types.artifact import Artifact

from components.report import executor, page
from components.shared import artifact_types, records
from components.shared.driver import ObservingDriver
from components.shared.mlmd.ancestry import ancestry
from components.shared.mlmd.incomplete import is_incomplete, last_incomplete
from components.shared.mlmd.results import evaluation_of, has_results, report_of


class Driver(ObservingDriver):
    """Hands the executor what is in ML Metadata."""

    def observe(self, execution_info: data_types.ExecutionInfo) -> Mapping[str, Any]:
        [evaluation] = execution_info.input_dict["evaluation"]
        with self.mlmd as handle:
            source = _evaluation_to_report(handle.store, evaluation)
            lineage = ancestry(handle.store, [source.id], page.MAX_STEPS) if source else []
            model_id = evaluation.get_int_custom_property(records.CANDIDATE_ID)
            incomplete = last_incomplete(handle.store, artifact_types.Report.TYPE_NAME, records.CANDIDATE_ID, model_id)
        return {
            executor.EVALUATION_URI: source.uri if source else "",
            executor.LINEAGE: json.dumps(lineage),
            records.INCOMPLETE: incomplete,
        }


def _evaluation_to_report(store: MetadataStore, evaluation: Artifact) -> Any:
    """The evaluation with the metrics; None where there is a complete report about it already."""
    if has_results(evaluation.mlmd_artifact):
        return evaluation
    model_id = evaluation.get_int_custom_property(records.CANDIDATE_ID)
    report = report_of(store, model_id)
    return None if report and not is_incomplete(report) else evaluation_of(store, model_id)
