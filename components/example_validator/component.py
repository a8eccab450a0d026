"""ExampleValidator: TFDV's validation, which stops the pipeline at errors."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, channel_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from components.example_validator import driver, executor
from components.example_validator.settings import ExampleValidatorSettings
from components.shared import step
from components.shared.code_identity import code_identity
from components.shared.settings import to_property


class ExampleValidatorSpec(ComponentSpec):
    """Inputs, outputs and parameters of `ExampleValidator`."""

    PARAMETERS = step.parameters()
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS = {"anomalies": ChannelParameter(type=standard_artifacts.ExampleAnomalies)}


class ExampleValidator(base_component.BaseComponent):
    """Compares the statistics with the schema, train with eval, and train with the last other data that passed.

    It fails where the data violates the schema. Where drift or skew exceeds the schema's thresholds, it warns or
    fails, as its settings say.

    Outputs: `anomalies`, as TFX's ExampleValidator writes them, with the custom property `warnings` (a JSON list).
    """

    SPEC_CLASS = ExampleValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    DRIVER_CLASS = driver.Driver

    def __init__(
        self, settings: ExampleValidatorSettings, examples: BaseChannel, statistics: BaseChannel, schema: BaseChannel
    ):
        """Constructs the component.

        Args:
          settings: the behavior at drift and skew.
          examples: the data; it is read only to count the images that violate the schema.
          statistics: the statistics of the examples.
          schema: the schema.
        """
        spec = ExampleValidatorSpec(
            settings=to_property(settings, ExampleValidatorSettings),
            code=code_identity(executor.__name__, driver.__name__),
            examples=examples,
            statistics=statistics,
            schema=schema,
            anomalies=channel_utils.as_channel([standard_artifacts.ExampleAnomalies()]),
        )
        super().__init__(spec=spec)
