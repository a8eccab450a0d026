"""The ingest's driver: finds the data and takes its fingerprint each time the step runs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfx.orchestration.portable import data_types

from components.caption_ingest import dataset, inspection_cache, spans
from components.caption_ingest.executor import CACHE_DIR
from components.caption_ingest.settings import CaptionIngestSettings
from components.shared.driver import ObservingDriver
from components.shared.records import FINGERPRINT
from components.shared.settings import from_properties


class Driver(ObservingDriver):
    """Changed data runs the step again, and so does an ingest that could not read some files.

    A span in the data directory becomes the newest one.
    """

    def observe(self, execution_info: data_types.ExecutionInfo) -> Mapping[str, Any]:
        properties = execution_info.exec_properties
        settings = from_properties(CaptionIngestSettings, properties)
        settings = dataclasses.replace(settings, dir=spans.newest(settings.dir))
        return {
            "dir": settings.dir,
            FINGERPRINT: dataset.read(settings).fingerprint(),
            inspection_cache.GENERATION: inspection_cache.generation(properties[CACHE_DIR]),
        }
