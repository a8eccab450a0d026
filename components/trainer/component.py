"""Trainer: learns the weights of a captioning model, and chooses them on eval."""

from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, channel_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from components.shared import step
from components.shared.artifact_types import Features, Weights
from components.shared.code_identity import code_identity
from components.shared.models import registry
from components.shared.settings import to_property
from components.trainer import executor
from components.trainer.settings import TrainerSettings

RUNTIME: dict[str, type] = {"epochs": int}


class TrainerSpec(ComponentSpec):
    """Inputs, outputs and parameters of `Trainer`."""

    PARAMETERS = step.parameters(**RUNTIME, label=str, checkpoint_dir=str)
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph),
        "features": ChannelParameter(type=Features),
        "base_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {
        "weights": ChannelParameter(type=Weights),
        "model_run": ChannelParameter(type=standard_artifacts.ModelRun),
    }


class Trainer(base_component.BaseComponent):
    """Trains one captioning model.

    Outputs: `weights`, the best weights with the settings to build the model again (see
    `components.shared.models.weights`); `model_run`, TensorBoard's logs.
    """

    SPEC_CLASS = TrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        settings: TrainerSettings,
        examples: BaseChannel,
        transform_graph: BaseChannel,
        features: BaseChannel,
        checkpoint_dir: str,
        label: str,
        base_model: BaseChannel | None = None,
        **runtime: Any,
    ):
        """Constructs the component.

        Args:
          settings: how to train, and which model; those of comparison models do not matter here.
          examples: transformed, of Transform.
          transform_graph: of Transform.
          features: of FeatureExtractor.
          checkpoint_dir: where interrupted training runs are resumed from.
          label: what evaluations and reports call the model.
          base_model: exported model to take the initial weights from; no channel, or none in it: random weights.
          **runtime: `epochs`: a value or a runtime parameter.
        """
        spec = TrainerSpec(
            settings=to_property(settings, TrainerSettings, [*RUNTIME, "comparison_models"]),
            code=code_identity(executor.__name__, registry.module_of(settings.model.name)),
            label=label,
            checkpoint_dir=checkpoint_dir,
            examples=examples,
            transform_graph=transform_graph,
            features=features,
            base_model=base_model,
            weights=channel_utils.as_channel([Weights()]),
            model_run=channel_utils.as_channel([standard_artifacts.ModelRun()]),
            **runtime,
        )
        super().__init__(spec=spec)
