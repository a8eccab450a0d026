"""BleuEvaluator: decides whether a trained model may serve."""

from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, channel_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from components.bleu_evaluator import driver, executor
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.shared import records, step
from components.shared.artifact_types import Features, Predictions
from components.shared.code_identity import code_identity
from components.shared.settings import to_property
from components.shared.words import Tokenization

RUNTIME: dict[str, type] = {"min_bleu_4": float, "min_bleu_4_improvement": float}


class BleuEvaluatorSpec(ComponentSpec):
    """Inputs, outputs and parameters of `BleuEvaluator`."""

    PARAMETERS = step.parameters(**RUNTIME, **{records.TOKENIZATION: str})
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "features": ChannelParameter(type=Features),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "comparison_models": ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {
        "predictions": ChannelParameter(type=Predictions),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class BleuEvaluator(base_component.BaseComponent):
    """Captions the test split with the exported model, computes metrics, and blesses or rejects it.

    A baseline that cannot be evaluated is a reason to reject. Outputs: `predictions` (COCO results format),
    `evaluation` (metrics with intervals, rules with their verdicts, slices; every image), `blessing`.
    """

    SPEC_CLASS = BleuEvaluatorSpec
    DRIVER_CLASS = driver.Driver
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        settings: BleuEvaluatorSettings,
        examples: BaseChannel,
        features: BaseChannel,
        model: BaseChannel,
        tokenization: Tokenization,
        baseline_model: BaseChannel | None = None,
        comparison_models: BaseChannel | None = None,
        **runtime: Any,
    ):
        """Constructs the component.

        Args:
          settings: the rules, metrics and slices.
          examples: the examples of CaptionIngest, with the references of the test split.
          features: the features of FeatureExtractor.
          model: the candidate's SavedModel.
          tokenization: what counts as a word: the tokenizer's settings.
          baseline_model: the last blessed model, from a Resolver; none on a first run.
          comparison_models: further models, labeled by the custom property `model_label`; for information only.
          **runtime: `min_bleu_4` and `min_bleu_4_improvement`: values or runtime parameters.
        """
        spec = BleuEvaluatorSpec(
            settings=to_property(settings, BleuEvaluatorSettings, RUNTIME),
            code=code_identity(executor.__name__, driver.__name__),
            examples=examples,
            features=features,
            model=model,
            baseline_model=baseline_model,
            comparison_models=comparison_models,
            tokenization=to_property(tokenization, Tokenization),
            predictions=channel_utils.as_channel([Predictions()]),
            evaluation=channel_utils.as_channel([standard_artifacts.ModelEvaluation()]),
            blessing=channel_utils.as_channel([standard_artifacts.ModelBlessing()]),
            **runtime,
        )
        super().__init__(spec=spec)
