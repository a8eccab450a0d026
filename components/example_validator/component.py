"""ExampleValidator: TFDV's validation, which stops the pipeline at errors."""

from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration import data_types_utils
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import driver_output_pb2
from tfx.types import BaseChannel, channel_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.driver import FingerprintDriver
from components.example_validator import executor, previous
from components.source import source_hash


class ExampleValidatorSpec(ComponentSpec):
    """Inputs, outputs and parameters of `ExampleValidator`."""

    PARAMETERS = {
        "on_drift": ExecutionParameter(type=str),
        "source": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS = {"anomalies": ChannelParameter(type=standard_artifacts.ExampleAnomalies)}


class Driver(FingerprintDriver):
    """Finds the statistics of the data before this that passed, which become part of the cache key.

    A Resolver could not: its answer, the last run's statistics, is another one in each run, so that none is cached.
    """

    def fingerprint(self, exec_properties: dict[str, Any]) -> str:
        return exec_properties.get(executor.PREVIOUS, "")

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """See `FingerprintDriver`."""
        [statistics] = execution_info.input_dict["statistics"]
        with self._mlmd_connection as handle:
            uri = previous.statistics_before(
                handle.store, execution_info.pipeline_info.id, execution_info.pipeline_node.node_info.id, statistics.id
            )
        execution_info.exec_properties[executor.PREVIOUS] = uri
        output = super().run(execution_info)
        data_types_utils.set_metadata_value(output.exec_properties[executor.PREVIOUS], uri)
        return output


class ExampleValidator(base_component.BaseComponent):
    """Compares the statistics with the schema, train with eval, and train with the last other data that passed.

    It fails where the data breaks the schema. Where the data has changed more than the schema's comparators allow, it
    warns or fails, as told.

    Outputs: `anomalies`, as TFX's ExampleValidator writes them, with the custom property `warnings` (a JSON list).
    """

    SPEC_CLASS = ExampleValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    DRIVER_CLASS = Driver
    SOURCE = (
        "components.example_validator",
        "components.atomic",
        "components.datasets",
        "components.driver",
        "components.records",
    )

    def __init__(self, examples: BaseChannel, statistics: BaseChannel, schema: BaseChannel, on_drift: str = "warn"):
        """Constructs the component.

        Args:
          examples: the data; read only to count what is wrong with it.
          statistics: of the examples.
          schema: what they must satisfy.
          on_drift: "warn" or "stop": what becomes of data that is valid, but other than before.
        """
        spec = ExampleValidatorSpec(
            examples=examples,
            statistics=statistics,
            schema=schema,
            on_drift=on_drift,
            source=source_hash(*self.SOURCE),
            anomalies=channel_utils.as_channel([standard_artifacts.ExampleAnomalies()]),
        )
        super().__init__(spec=spec)
