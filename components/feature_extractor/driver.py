"""The extractor's driver: observes the backbone with its weights, and the store that holds its features."""

from collections.abc import Mapping
from typing import Any

from tfx.orchestration.portable import data_types

from components.feature_extractor.executor import STORE_DIR, check_weights, store_of
from components.feature_extractor.settings import FeatureExtractorSettings
from components.shared.driver import ObservingDriver
from components.shared.records import FINGERPRINT
from components.shared.settings import from_properties


class Driver(ObservingDriver):
    """A backbone with other weights, and a store that has lost shards, run the step again; a lost backbone does not."""

    def observe(self, execution_info: data_types.ExecutionInfo) -> Mapping[str, Any]:
        properties = execution_info.exec_properties
        settings = from_properties(FeatureExtractorSettings, properties)
        store = store_of(settings, properties[STORE_DIR])
        store.delete_damaged_shards()
        store.restore_backbone(settings, lambda: check_weights(settings, store))
        return {FINGERPRINT: f"{store.directory} {store.generation()}"}
