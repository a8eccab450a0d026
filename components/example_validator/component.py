"""ExampleValidator: TFX's ExampleValidator with our executor."""

from typing import Any

from tfx import components
from tfx.dsl.components.base import executor_spec

from components.driver import FingerprintDriver
from components.example_validator import executor
from components.source import source_hash


class Driver(FingerprintDriver):
    """Fingerprints the step's own code; TFX's component has no parameter that could."""

    def fingerprint(self, exec_properties: dict[str, Any]) -> str:
        return source_hash("components.example_validator")


class ExampleValidator(components.ExampleValidator):
    """Compares the statistics with the schema, and fails where the schema calls an anomaly an error."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    DRIVER_CLASS = Driver
