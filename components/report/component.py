"""Report: what a run came to, as one HTML file."""

import json
from typing import Any

from ml_metadata import MetadataStore
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration import data_types_utils
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import driver_output_pb2
from tfx.types import BaseChannel, channel_utils, standard_artifacts
from tfx.types.artifact import Artifact
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components import records
from components.driver import FingerprintDriver
from components.history import ancestry, evaluation_of, report_of, says_something
from components.report import executor, page
from components.source import source_hash


class ReportSpec(ComponentSpec):
    """Inputs, outputs and parameters of `Report`."""

    PARAMETERS = {"source": ExecutionParameter(type=str)}
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "rejects": ChannelParameter(type=records.Rejects),
        "features": ChannelParameter(type=records.Features),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "model_run": ChannelParameter(type=standard_artifacts.ModelRun),
        "other_model_runs": ChannelParameter(type=standard_artifacts.ModelRun, optional=True),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
    }
    OUTPUTS = {"report": ChannelParameter(type=records.Report)}


class Driver(FingerprintDriver):
    """Hands the executor what is in ML Metadata: the lineage, and the evaluation to report."""

    def fingerprint(self, exec_properties: dict[str, Any]) -> str:
        return ""  # what is found becomes properties of its own

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """See `FingerprintDriver`."""
        [evaluation] = execution_info.input_dict["evaluation"]
        with self._mlmd_connection as handle:
            measured = self._to_report(handle.store, evaluation)
            lineage = ancestry(handle.store, [measured.id], page.MOST_STEPS) if measured else []
            found = {
                executor.EVALUATION_URI: measured.uri if measured else "",
                executor.LINEAGE: json.dumps(lineage),
            }
        output = super().run(execution_info)
        for name, value in found.items():
            execution_info.exec_properties[name] = value
            data_types_utils.set_metadata_value(output.exec_properties[name], value)
        return output

    @staticmethod
    def _to_report(store: MetadataStore, evaluation: Artifact) -> Any:
        """The evaluation with the figures; None where there is a report about it already."""
        if says_something(evaluation.mlmd_artifact):
            return evaluation
        model_id = evaluation.get_int_custom_property(records.CANDIDATE_ID)
        return None if report_of(store, model_id) else evaluation_of(store, model_id)


class Report(base_component.BaseComponent):
    """Writes the report; where the candidate is the blessed model itself, there is one about it already.

    A step of its own, so that another page does not mean another evaluation, and that a page that fails holds up no
    push. Output: `report`, with the file `report.html`.
    """

    SPEC_CLASS = ReportSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    DRIVER_CLASS = Driver
    SOURCE = (
        "components.report",
        "components.atomic",
        "components.datasets",
        "components.features",
        "components.history",
        "components.images",
        "components.progress",
        "components.records",
    )

    def __init__(
        self,
        examples: BaseChannel,
        rejects: BaseChannel,
        features: BaseChannel,
        model: BaseChannel,
        model_run: BaseChannel,
        evaluation: BaseChannel,
        other_model_runs: BaseChannel | None = None,
    ):
        """Constructs the component.

        Args:
          examples: of CaptionIngest.
          rejects: likewise.
          features: of FeatureExtractor.
          model: the candidate.
          model_run: the logs of its training.
          evaluation: of BleuEvaluator.
          other_model_runs: the logs of what was trained beside, named by the custom property `model_name`.
        """
        spec = ReportSpec(
            source=source_hash(*self.SOURCE),
            examples=examples,
            rejects=rejects,
            features=features,
            model=model,
            model_run=model_run,
            evaluation=evaluation,
            other_model_runs=other_model_runs,
            report=channel_utils.as_channel([records.Report()]),
        )
        super().__init__(spec=spec)
