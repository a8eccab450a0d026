"""CaptionIngest: the pipeline's door."""

import json
import os
from collections.abc import Mapping

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import channel_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.caption_ingest import driver, executor
from components.records import Rejects
from components.source import source_hash


class CaptionIngestSpec(ComponentSpec):
    """Inputs, outputs and parameters of `CaptionIngest`."""

    PARAMETERS = {
        "data_dir": ExecutionParameter(type=str),
        "captions": ExecutionParameter(type=str),
        "limit": ExecutionParameter(type=int),
        "max_reject_fraction": ExecutionParameter(type=float),
        "unlisted": ExecutionParameter(type=str),
        "split_shares": ExecutionParameter(type=str),
        "memory_dir": ExecutionParameter(type=str),
        "source": ExecutionParameter(type=str),
    }
    INPUTS: dict = {}
    OUTPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "rejects": ChannelParameter(type=Rejects),
    }


class CaptionIngest(base_beam_component.BaseBeamComponent):
    """Reads captions and pictures: one tf.Example a picture, in the splits train, eval and test.

    The pictures stay where they are; each is read once, decoded to its end and hashed. What was decoded by an earlier
    run (same path, size and modification time) is not opened again.

    Outputs: `examples` (see `components.records`), `rejects` (JSON lines).
    """

    SPEC_CLASS = CaptionIngestSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
    DRIVER_CLASS = driver.Driver
    SOURCE = (
        "components.caption_ingest",
        "components.atomic",
        "components.datasets",
        "components.driver",
        "components.images",
        "components.progress",
        "components.records",
    )
    # what decides what is remembered of a picture
    MEMORY_SOURCE = ("components.caption_ingest.pictures", "components.images")

    def __init__(
        self,
        data_dir: str,
        memory_dir: str,
        captions: str = "",
        limit: int = 0,
        max_reject_fraction: float = 0.01,
        unlisted: str = "train",
        split_shares: Mapping[str, float] | None = None,
    ):
        """Constructs the component.

        Args:
          data_dir: directory with captions, lists and pictures.
          memory_dir: directory that remembers the pictures that were decoded.
          captions: the file with the captions, or a pattern of several, below `data_dir`; "" to find them.
          limit: take this many pictures, the first by hash of their ids; 0 for all.
          max_reject_fraction: share of the captions that may be lost before the run stops, 0 to 1: of all captions,
            and, where a limit leaves pictures unopened, of those of the pictures taken.
          unlisted: "train" or "skip": what becomes of pictures that none of the official lists names.
          split_shares: split -> share for data sets without official lists; 80, 10 and 10 % by default.
        """
        spec = CaptionIngestSpec(
            data_dir=data_dir,
            captions=captions,
            limit=limit,
            max_reject_fraction=max_reject_fraction,
            unlisted=unlisted,
            split_shares=json.dumps(dict(split_shares or {"train": 0.8, "eval": 0.1, "test": 0.1}), sort_keys=True),
            # what was found by other code is not trusted
            memory_dir=os.path.join(memory_dir, source_hash(*self.MEMORY_SOURCE)),
            source=source_hash(*self.SOURCE),
            examples=channel_utils.as_channel([standard_artifacts.Examples()]),
            rejects=channel_utils.as_channel([Rejects()]),
        )
        super().__init__(spec=spec)
