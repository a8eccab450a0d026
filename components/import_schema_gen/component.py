"""ImportSchemaGen: TFX's, but that it notices when the file has changed, and finds it beside the code."""

import hashlib
import os
import pathlib
from typing import Any

from tfx.components.schema_gen.import_schema_gen import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.types.artifact import Artifact

from components.driver import FingerprintDriver

CODE = pathlib.Path(__file__).parents[2]


def find(schema_file: str) -> str:
    """The schema's path: a relative one begins where the code lies, which is another place in a container."""
    return schema_file if "://" in schema_file else os.path.join(CODE, schema_file)


class Driver(FingerprintDriver):
    """Fingerprints the schema file's content."""

    def fingerprint(self, exec_properties: dict[str, Any]) -> str:
        with fileio.open(find(exec_properties["schema_file"]), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()


class Executor(executor.Executor):
    """Copies the schema file."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        path = find(exec_properties["schema_file"])
        super().Do(input_dict, output_dict, {**exec_properties, "schema_file": path})


class ImportSchemaGen(component.ImportSchemaGen):
    """See TFX's."""

    DRIVER_CLASS = Driver
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
