"""CaptionIngest: from a data directory to examples."""

import os
from typing import Any

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import channel_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from components.caption_ingest import driver, executor, inspection
from components.caption_ingest.settings import CaptionIngestSettings
from components.shared import step
from components.shared.artifact_types import Rejects
from components.shared.code_identity import code_identity
from components.shared.settings import to_property

RUNTIME: dict[str, type] = {"dir": str, "max_images": int, "max_reject_fraction": float}


class CaptionIngestSpec(ComponentSpec):
    """Outputs and parameters of `CaptionIngest`."""

    PARAMETERS = step.parameters(**RUNTIME, cache_dir=str)
    INPUTS: dict = {}
    OUTPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "rejects": ChannelParameter(type=Rejects),
    }


class CaptionIngest(base_beam_component.BaseBeamComponent):
    """Reads captions and images: one tf.Example per image, in the splits train, eval and test.

    The images stay where they are; each is read once, decoded to its end and hashed. An image that an earlier run has
    inspected (same path, size and modification time) is not opened again.

    Outputs: `examples` (see `components.shared.records`), `rejects` (JSON lines).
    """

    SPEC_CLASS = CaptionIngestSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
    DRIVER_CLASS = driver.Driver

    def __init__(self, settings: CaptionIngestSettings, cache_dir: str, **runtime: Any):
        """Constructs the component.

        Args:
          settings: what to read.
          cache_dir: directory of the inspection cache.
          **runtime: `dir`, `max_images` (0 for all) and `max_reject_fraction`: values or runtime parameters.
        """
        spec = CaptionIngestSpec(
            settings=to_property(settings, CaptionIngestSettings, RUNTIME),
            code=code_identity(executor.__name__, driver.__name__),
            # its code decides what the cache contains about an image
            cache_dir=os.path.join(cache_dir, code_identity(inspection.__name__)),
            examples=channel_utils.as_channel([standard_artifacts.Examples()]),
            rejects=channel_utils.as_channel([Rejects()]),
            **runtime,
        )
        super().__init__(spec=spec)
