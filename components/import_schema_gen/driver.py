"""The driver of ImportSchemaGen: observes the content of the schema file."""

from collections.abc import Mapping
from typing import Any

from tfx.orchestration.portable import data_types

from components.import_schema_gen.executor import schema_path
from components.shared import storage
from components.shared.driver import ObservingDriver
from components.shared.records import FINGERPRINT


class Driver(ObservingDriver):
    """Runs the step again when the schema file has changed, which TFX's own step does not notice."""

    def observe(self, execution_info: data_types.ExecutionInfo) -> Mapping[str, Any]:
        return {FINGERPRINT: storage.sha256(schema_path(execution_info.exec_properties["schema_file"]))}
