"""FeatureExtractor: the expensive step, paid once per image."""

from typing import Any

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import BaseChannel, channel_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from components.feature_extractor import driver, executor
from components.feature_extractor.settings import FeatureExtractorSettings
from components.shared import step
from components.shared.artifact_types import Features
from components.shared.code_identity import code_identity
from components.shared.settings import to_property

RUNTIME: dict[str, type] = {"backbone": str, "weights": str}


class FeatureExtractorSpec(ComponentSpec):
    """Inputs, outputs and parameters of `FeatureExtractor`."""

    PARAMETERS = step.parameters(**RUNTIME, store_dir=str)
    INPUTS = {"examples": ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {"features": ChannelParameter(type=Features)}


class FeatureExtractor(base_beam_component.BaseBeamComponent):
    """Runs a frozen image backbone over the images that the feature store lacks.

    Output: `features`, the manifest of the run's images (see `components.shared.features`).
    """

    SPEC_CLASS = FeatureExtractorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
    DRIVER_CLASS = driver.Driver

    def __init__(self, settings: FeatureExtractorSettings, examples: BaseChannel, store_dir: str, **runtime: Any):
        """Constructs the component.

        Args:
          settings: which backbone.
          examples: of CaptionIngest.
          store_dir: the feature store.
          **runtime: `backbone` and `weights`: values or runtime parameters.
        """
        spec = FeatureExtractorSpec(
            settings=to_property(settings, FeatureExtractorSettings, [*RUNTIME, "store_dir"]),
            code=code_identity(executor.__name__, driver.__name__),
            store_dir=store_dir,
            examples=examples,
            features=channel_utils.as_channel([Features()]),
            **runtime,
        )
        super().__init__(spec=spec)
