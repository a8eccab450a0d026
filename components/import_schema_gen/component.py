"""ImportSchemaGen: TFX's ImportSchemaGen, which does not notice that the file has changed, with a driver that does."""

import hashlib
from typing import Any

from tfx.components.schema_gen.import_schema_gen import component
from tfx.dsl.io import fileio

from components.driver import FingerprintDriver


class Driver(FingerprintDriver):
    """Fingerprints the schema file's content."""

    def fingerprint(self, exec_properties: dict[str, Any]) -> str:
        with fileio.open(exec_properties["schema_file"], "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()


class ImportSchemaGen(component.ImportSchemaGen):
    """See TFX's."""

    DRIVER_CLASS = Driver
