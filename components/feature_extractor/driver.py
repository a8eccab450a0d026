"""The extractor's driver: fingerprints the backbone with its weights, and the store that holds what it made."""

from typing import Any

from components.driver import FingerprintDriver
from components.feature_extractor.executor import settings_of, store_of


class Driver(FingerprintDriver):
    """See `FingerprintDriver`."""

    def fingerprint(self, exec_properties: dict[str, Any]) -> str:
        store = store_of(exec_properties, settings_of(exec_properties))
        return f"{store.directory} {store.identity()}"
