"""The ingest's driver: finds the data and takes its fingerprint each time the step runs."""

from typing import Any

from tfx.orchestration import data_types_utils
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import driver_output_pb2

from components.caption_ingest import dataset, spans
from components.driver import FingerprintDriver


class Driver(FingerprintDriver):
    """See `FingerprintDriver`; a span in the data directory becomes the newest one."""

    def fingerprint(self, exec_properties: dict[str, Any]) -> str:
        return dataset.fingerprint(dataset.Settings.of(exec_properties))

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """See `FingerprintDriver`."""
        data_dir = spans.newest(execution_info.exec_properties["data_dir"])
        execution_info.exec_properties["data_dir"] = data_dir
        output = super().run(execution_info)
        data_types_utils.set_metadata_value(output.exec_properties["data_dir"], data_dir)
        return output
