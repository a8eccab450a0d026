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
        "model_name": ExecutionParameter(type=str),
        "checkpoint_dir": ExecutionParameter(type=str),
        "source": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph),
        "features": ChannelParameter(type=Features),
        "base_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "model_run": ChannelParameter(type=standard_artifacts.ModelRun),
    }


class Trainer(base_component.BaseComponent):
    """Trains a captioning model: the transformer, or the attention baseline.

    Outputs: `model`, a SavedModel whose signatures `export` tells of; `model_run`, TensorBoard's logs.
    """

    SPEC_CLASS = TrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    SOURCE = (
        "components.trainer",
        "components.atomic",
        "components.datasets",
        "components.features",
        "components.images",
        "components.progress",
        "components.records",
        "components.scenes",
    )

    def __init__(
        self,
        examples: BaseChannel,
        transform_graph: BaseChannel,
        features: BaseChannel,
        epochs: int,
        settings: Mapping[str, Any],
        checkpoint_dir: str,
        model_name: str = "transformer",
        base_model: BaseChannel | None = None,
    ):
        """Constructs the component.

        Args:
          examples: transformed, of Transform.
          transform_graph: of Transform.
          features: of FeatureExtractor.
          epochs: passes over the train pictures.
          settings: all else, by the names of the fields of the settings of `transformer`, `attention`, `loop`,
            `optimization` and `decoding`, with "precision" and "devices" of `devices`.
          checkpoint_dir: where trainings that were killed are gone on with.
          model_name: which model, of `training.MODELS`; a custom property of both outputs.
          base_model: to start from, see `warm_start`; none in it, or no channel: from random weights.
        """
        spec = TrainerSpec(
            run_fn=RUN_FN,
            train_args="{}",
            eval_args="{}",
            custom_config=json.dumps({"settings": dict(settings)}, sort_keys=True),
            epochs=epochs,
            model_name=model_name,
            checkpoint_dir=checkpoint_dir,
            source=source_hash(*self.SOURCE),
            examples=examples,
            transform_graph=transform_graph,
            features=features,
            base_model=base_model,
            model=channel_utils.as_channel([standard_artifacts.Model()]),
            model_run=channel_utils.as_channel([standard_artifacts.ModelRun()]),
        )
        super().__init__(spec=spec)
