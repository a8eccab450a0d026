"""Report: what a run has achieved, as one HTML file."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, channel_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from components.report import driver, executor
from components.shared import artifact_types, step
from components.shared.code_identity import code_identity


class ReportSpec(ComponentSpec):
    """Inputs, outputs and parameters of `Report`."""

    PARAMETERS = step.parameters()
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "rejects": ChannelParameter(type=artifact_types.Rejects),
        "features": ChannelParameter(type=artifact_types.Features),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "model_run": ChannelParameter(type=standard_artifacts.ModelRun),
        "comparison_model_runs": ChannelParameter(type=standard_artifacts.ModelRun, optional=True),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
    }
    OUTPUTS = {"report": ChannelParameter(type=artifact_types.Report)}


class Report(base_component.BaseComponent):
    """Writes the report; where the candidate is the blessed model itself, there is one about it already.

    A step of its own, so that another page does not mean another evaluation, and that a page that fails holds up no
    push. Output: `report`, with the file `report.html`.
    """

    SPEC_CLASS = ReportSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    DRIVER_CLASS = driver.Driver

    def __init__(
        self,
        examples: BaseChannel,
        rejects: BaseChannel,
        features: BaseChannel,
        model: BaseChannel,
        model_run: BaseChannel,
        evaluation: BaseChannel,
        comparison_model_runs: BaseChannel | None = None,
    ):
        """Constructs the component.

        Args:
          examples: of CaptionIngest.
          rejects: likewise.
          features: of FeatureExtractor.
          model: the candidate.
          model_run: the logs of its training.
          evaluation: of BleuEvaluator.
          comparison_model_runs: the logs of the comparison models, labeled by the custom property `model_label`.
        """
        spec = ReportSpec(
            settings="",
            code=code_identity(executor.__name__, driver.__name__),
            examples=examples,
            rejects=rejects,
            features=features,
            model=model,
            model_run=model_run,
            evaluation=evaluation,
            comparison_model_runs=comparison_model_runs,
            report=channel_utils.as_channel([artifact_types.Report()]),
        )
        super().__init__(spec=spec)
