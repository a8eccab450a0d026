"""ImportSchemaGen: TFX's with our driver and executor."""

from tfx.components.schema_gen.import_schema_gen import component
from tfx.dsl.components.base import executor_spec

from components.import_schema_gen import driver, executor


class ImportSchemaGen(component.ImportSchemaGen):
    """Imports the curated schema; it notices a changed file, and takes a relative path as relative to the code."""

    DRIVER_CLASS = driver.Driver
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
