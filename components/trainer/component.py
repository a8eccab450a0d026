"""Trainer: TFX's Trainer with the features as one input more."""

import json
from collections.abc import Mapping
from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, channel_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.records import Features
from components.source import source_hash
from components.trainer import executor

RUN_FN = "components.trainer.training.run_fn"


class TrainerSpec(ComponentSpec):
    """Inputs, outputs and parameters of `Trainer`; the names are those of TFX's Trainer."""

    PARAMETERS = {
        "run_fn": ExecutionParameter(type=str),
        "train_args": ExecutionParameter(type=str),
        "eval_args": ExecutionParameter(type=str),
        "custom_config": ExecutionParameter(type=str),
        "epochs": ExecutionParameter(type=int),
        "source": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph),
        "features": ChannelParameter(type=Features),
    }
    OUTPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "model_run": ChannelParameter(type=standard_artifacts.ModelRun),
    }


class Trainer(base_component.BaseComponent):
    """Trains the captioning transformer.

    Outputs: `model`, a SavedModel with the signatures `serving_default` and `from_features` (see `export`);
    `model_run`, TensorBoard logs and the best checkpoint.
    """

    SPEC_CLASS = TrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    SOURCE = (
        "components.trainer",
        "components.atomic",
        "components.features",
        "components.progress",
        "components.records",
    )

    def __init__(
        self,
        examples: BaseChannel,
        transform_graph: BaseChannel,
        features: BaseChannel,
        epochs: int,
        model: Mapping[str, Any],
        training: Mapping[str, Any],
    ):
        """Constructs the component.

        Args:
          examples: transformed, of Transform.
          transform_graph: of Transform.
          features: of FeatureExtractor.
          epochs: passes over the train pictures.
          model: sizes, see `transformer.TransformerSettings`.
          training: the other fields of `training.TrainingSettings`.
        """
        spec = TrainerSpec(
            run_fn=RUN_FN,
            train_args="{}",
            eval_args="{}",
            custom_config=json.dumps({"model": dict(model), "training": dict(training)}, sort_keys=True),
            epochs=epochs,
            source=source_hash(*self.SOURCE),
            examples=examples,
            transform_graph=transform_graph,
            features=features,
            model=channel_utils.as_channel([standard_artifacts.Model()]),
            model_run=channel_utils.as_channel([standard_artifacts.ModelRun()]),
        )
        super().__init__(spec=spec)
