"""Exporter: from trained weights to the model that serves."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, channel_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from components.exporter import executor
from components.exporter.settings import DecodingSettings
from components.shared import records, step
from components.shared.artifact_types import Features, Weights
from components.shared.code_identity import code_identity
from components.shared.models import registry
from components.shared.settings import to_property
from components.shared.words import Tokenization


class ExporterSpec(ComponentSpec):
    """Inputs, outputs and parameters of `Exporter`."""

    PARAMETERS = step.parameters(**{records.TOKENIZATION: str})
    INPUTS = {
        "weights": ChannelParameter(type=Weights),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph),
        "features": ChannelParameter(type=Features),
    }
    OUTPUTS = {"model": ChannelParameter(type=standard_artifacts.Model)}


class Exporter(base_component.BaseComponent):
    """Puts weights, backbone, vocabulary and decoding settings into one SavedModel, in seconds.

    A step of its own, so that other decoding settings need no other training. Output: `model`, a SavedModel with the
    signatures of `saved_model`.
    """

    SPEC_CLASS = ExporterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        settings: DecodingSettings,
        weights: BaseChannel,
        transform_graph: BaseChannel,
        features: BaseChannel,
        model_name: str,
        tokenization: Tokenization,
    ):
        """Constructs the component.

        Args:
          settings: how captions are decoded.
          weights: of Trainer.
          transform_graph: of Transform; it has the vocabulary.
          features: of FeatureExtractor; they name the backbone.
          model_name: the captioning model that the weights belong to, whose code is part of the cache key.
          tokenization: what counts as a word, and so how words are joined: the tokenizer's settings.
        """
        spec = ExporterSpec(
            settings=to_property(settings, DecodingSettings),
            code=code_identity(executor.__name__, registry.module_of(model_name)),
            weights=weights,
            transform_graph=transform_graph,
            features=features,
            tokenization=to_property(tokenization, Tokenization),
            model=channel_utils.as_channel([standard_artifacts.Model()]),
        )
        super().__init__(spec=spec)
