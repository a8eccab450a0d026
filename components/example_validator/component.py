"""ExampleValidator: TFX's ExampleValidator with our executor."""

from tfx import components
from tfx.dsl.components.base import executor_spec

from components.example_validator import executor


class ExampleValidator(components.ExampleValidator):
    """Compares the statistics with the schema, and fails where the schema calls an anomaly an error."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
