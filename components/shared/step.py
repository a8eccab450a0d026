"""What the executors and the specs of our own components have in common."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import apache_beam as beam
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.types.component_spec import ExecutionParameter

from components.shared.settings import CODE as CODE
from components.shared.settings import SETTINGS as SETTINGS
from components.shared.settings import from_properties

RECORDED_URI = "recorded_uri"  # custom property of an input artifact that is staged; ML Metadata does not have it


def parameters(**runtime: type) -> dict[str, ExecutionParameter]:
    """The parameters of a component spec: its settings as one JSON property, its code, and what a run may choose.

    Args:
      **runtime: name and type of each parameter that is an execution property of its own.
    """
    kinds = {SETTINGS: str, CODE: str, **runtime}
    return {name: ExecutionParameter(type=kind, optional=name not in (SETTINGS, CODE)) for name, kind in kinds.items()}


class ChangedDuringStepError(RuntimeError):
    """What a step depends on is no longer what its driver observed, so its result must not be cached under that."""


def check_unchanged(what: str, observed: str | None, now: str) -> None:
    """Compares what the driver observed, and the cache key contains, with what the executor found.

    Args:
      what: a noun phrase for messages.
      observed: the execution property that the driver has set; None without our driver.
      now: what stands for it in the executor.

    Raises:
      ChangedDuringStepError: the two differ.
    """
    if observed is not None and observed != now:
        raise ChangedDuringStepError(f"{what} has changed since this step began; run again")


def recorded_uri(artifact: Artifact) -> str:
    """The URI of an input artifact in ML Metadata, whose `uri` is a local copy where the artifact is in a bucket."""
    return artifact.get_string_custom_property(RECORDED_URI) or artifact.uri


class Artifacts(Mapping[str, Artifact]):
    """The artifacts of a step's inputs or outputs: key -> its single artifact."""

    def __init__(self, artifacts: Mapping[str, Sequence[Artifact]]):
        self._artifacts = {key: list(values) for key, values in artifacts.items() if values}

    def __getitem__(self, key: str) -> Artifact:
        return artifact_utils.get_single_instance(self._artifacts[key])

    def __iter__(self):
        return iter(self._artifacts)

    def __len__(self) -> int:
        return len(self._artifacts)

    def all(self, key: str) -> list[Artifact]:
        """All artifacts of an input that may have several, or none."""
        return self._artifacts.get(key, [])


class StepExecutor(BaseExecutor):
    """An executor that hands `run` single artifacts and parsed settings."""

    SETTINGS_CLASS: ClassVar[type | None] = None

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Called by TFX's launcher."""
        self._log_startup(input_dict, output_dict, exec_properties)
        settings = from_properties(self.SETTINGS_CLASS, exec_properties) if self.SETTINGS_CLASS else None
        self.run(Artifacts(input_dict), Artifacts(output_dict), settings, exec_properties)

    def run(self, inputs: Artifacts, outputs: Artifacts, settings: Any, exec_properties: Mapping[str, Any]) -> None:
        """Does the step's work.

        Args:
          inputs: the input artifacts.
          outputs: the output artifacts, to be written.
          settings: an instance of `SETTINGS_CLASS`; None without one.
          exec_properties: all of them, with those that the driver has set.
        """
        raise NotImplementedError


class BeamStepExecutor(StepExecutor, BaseBeamExecutor):
    """A `StepExecutor` with a Beam runner."""

    def make_beam_pipeline(self) -> beam.Pipeline:
        """Creates a Beam pipeline that runs as the configuration says."""
        return self._make_beam_pipeline()
