"""TFX's executor of ImportSchemaGen, with schema files relative to the code."""

import os
import pathlib
from typing import Any

from tfx.components.schema_gen.import_schema_gen import executor
from tfx.types.artifact import Artifact

from components.shared import storage
from components.shared.records import FINGERPRINT
from components.shared.step import check_unchanged

PROJECT = pathlib.Path(__file__).parents[2]


def schema_path(schema_file: str) -> str:
    """The schema's path; a relative one is relative to the code, which lies elsewhere in a container."""
    return schema_file if "://" in schema_file else os.path.join(PROJECT, schema_file)


class Executor(executor.Executor):
    """Imports the schema file."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        path = schema_path(exec_properties["schema_file"])
        super().Do(input_dict, output_dict, {**exec_properties, "schema_file": path})
        check_unchanged(path, exec_properties.get(FINGERPRINT), storage.sha256(path))
