"""The ingest's driver: finds the data and takes its fingerprint each time the step runs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfx.orchestration.portable import data_types
from tfx.types.standard_artifacts import Examples

from components.caption_ingest import dataset, spans
from components.caption_ingest.settings import CaptionIngestSettings
from components.shared import storage
from components.shared.driver import ObservingDriver
from components.shared.mlmd.incomplete import last_incomplete
from components.shared.records import DATA_ROOT, FINGERPRINT, INCOMPLETE
from components.shared.settings import from_properties


class Driver(ObservingDriver):
    """Changed data runs the step again, and so does an ingest that could not read some files.

    A span in the data directory becomes the newest one.
    """

    def observe(self, execution_info: data_types.ExecutionInfo) -> Mapping[str, Any]:
        settings = from_properties(CaptionIngestSettings, execution_info.exec_properties)
        settings = dataclasses.replace(settings, dir=spans.newest(settings.dir))
        data = dataset.read(settings)
        with self.mlmd as handle:
            incomplete = last_incomplete(handle.store, Examples.TYPE_NAME, DATA_ROOT, storage.absolute(data.data_dir))
        return {"dir": settings.dir, FINGERPRINT: data.fingerprint(), INCOMPLETE: incomplete}
