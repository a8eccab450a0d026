"""BleuEvaluator: the gate between training and serving."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, channel_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.bleu_evaluator import executor
from components.records import Features, Predictions
from components.source import source_hash


class BleuEvaluatorSpec(ComponentSpec):
    """Inputs, outputs and parameters of `BleuEvaluator`."""

    PARAMETERS = {
        "min_bleu_4": ExecutionParameter(type=float),
        "min_gain": ExecutionParameter(type=float),
        "baseline": ExecutionParameter(type=str),
        "source": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "transformed_examples": ChannelParameter(type=standard_artifacts.Examples),
        "features": ChannelParameter(type=Features),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {
        "predictions": ChannelParameter(type=Predictions),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class BleuEvaluator(base_component.BaseComponent):
    """Captions the test split through the exported model, measures corpus BLEU, and blesses or refuses.

    Outputs: `predictions` (COCO results format), `evaluation` (metrics, decision and reasons), `blessing`.
    """

    SPEC_CLASS = BleuEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    SOURCE = (
        "components.bleu_evaluator",
        "components.atomic",
        "components.features",
        "components.progress",
        "components.records",
    )

    def __init__(
        self,
        examples: BaseChannel,
        transformed_examples: BaseChannel,
        features: BaseChannel,
        model: BaseChannel,
        baseline_model: BaseChannel | None = None,
        min_bleu_4: float = 0.0,
        min_gain: float = 0.0,
        baseline: str = "last_blessed",
    ):
        """Constructs the component.

        Args:
          examples: of CaptionIngest.
          transformed_examples: of Transform; its test split has the references.
          features: of FeatureExtractor.
          model: the candidate.
          baseline_model: the last blessed one, from a Resolver; none on a first run.
          min_bleu_4: least corpus BLEU-4, 0 to 1.
          min_gain: least BLEU-4 over the baseline's; below 0 it allows a loss.
          baseline: "last_blessed", or "none" to bless without a comparison.
        """
        spec = BleuEvaluatorSpec(
            examples=examples,
            transformed_examples=transformed_examples,
            features=features,
            model=model,
            baseline_model=baseline_model,
            min_bleu_4=min_bleu_4,
            min_gain=min_gain,
            baseline=baseline,
            source=source_hash(*self.SOURCE),
            predictions=channel_utils.as_channel([Predictions()]),
            evaluation=channel_utils.as_channel([standard_artifacts.ModelEvaluation()]),
            blessing=channel_utils.as_channel([standard_artifacts.ModelBlessing()]),
        )
        super().__init__(spec=spec)
