"""The ingest's driver: takes the fingerprint of the data directory each time the step runs."""

from typing import Any

from components.caption_ingest import dataset
from components.driver import FingerprintDriver


class Driver(FingerprintDriver):
    """See `FingerprintDriver`."""

    def fingerprint(self, exec_properties: dict[str, Any]) -> str:
        return dataset.fingerprint(dataset.Settings.of(exec_properties))
