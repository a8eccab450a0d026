"""FeatureExtractor: the dear step, paid once a picture."""

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import BaseChannel, channel_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.feature_extractor import driver, executor
from components.records import Features
from components.source import source_hash


class FeatureExtractorSpec(ComponentSpec):
    """Inputs, outputs and parameters of `FeatureExtractor`."""

    PARAMETERS = {
        "backbone": ExecutionParameter(type=str),
        "weights": ExecutionParameter(type=str),
        "image_size": ExecutionParameter(type=int),
        "batch_size": ExecutionParameter(type=int),
        "store_dir": ExecutionParameter(type=str),
        "source": ExecutionParameter(type=str),
    }
    INPUTS = {"examples": ChannelParameter(type=standard_artifacts.Examples)}
    OUTPUTS = {"features": ChannelParameter(type=Features)}


class FeatureExtractor(base_beam_component.BaseBeamComponent):
    """Runs a frozen image backbone over the pictures that the feature store lacks.

    Output: `features`, the manifest of the run's pictures (see `components.features`).
    """

    SPEC_CLASS = FeatureExtractorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
    DRIVER_CLASS = driver.Driver
    SOURCE = (
        "components.feature_extractor",
        "components.atomic",
        "components.datasets",
        "components.driver",
        "components.features",
        "components.images",
        "components.progress",
        "components.records",
        "components.scenes",
        "components.source",
    )

    def __init__(
        self,
        examples: BaseChannel,
        store_dir: str,
        backbone: str = "InceptionV3",
        weights: str = "imagenet",
        image_size: int = 0,
        batch_size: int = 16,
    ):
        """Constructs the component.

        Args:
          examples: of CaptionIngest.
          store_dir: the feature store.
          backbone: a class of `keras.applications`.
          weights: "imagenet", "random" or the path of a weights file.
          image_size: side of the backbone's input in pixels; 0 for its own.
          batch_size: pictures a call of the backbone.
        """
        spec = FeatureExtractorSpec(
            examples=examples,
            backbone=backbone,
            weights=weights,
            image_size=image_size,
            batch_size=batch_size,
            store_dir=store_dir,
            source=source_hash(*self.SOURCE),
            features=channel_utils.as_channel([Features()]),
        )
        super().__init__(spec=spec)
