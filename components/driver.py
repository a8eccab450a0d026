"""A driver that takes the fingerprint of what a step reads from outside the pipeline.

TFX asks the driver when the step runs, before it looks into the cache: tomorrow's run of the same compiled pipeline
sees tomorrow's pictures. (TFX does the same for its FileBasedExampleGen.)
"""

import abc
from typing import Any

from tfx.dsl.components.base import base_driver as compiled_driver
from tfx.orchestration import data_types_utils, metadata
from tfx.orchestration.portable import base_driver, data_types
from tfx.proto.orchestration import driver_output_pb2

from components.records import FINGERPRINT


class FingerprintDriver(compiled_driver.BaseDriver, base_driver.BaseDriver, metaclass=abc.ABCMeta):
    """Adds the execution property `fingerprint`, so that it becomes part of the cache key."""

    def __init__(self, metadata_handle: metadata.Metadata):
        # the pipeline compiler wants a subclass of the first, the launcher one of the second
        compiled_driver.BaseDriver.__init__(self, metadata_handle)
        base_driver.BaseDriver.__init__(self, metadata_handle)

    @abc.abstractmethod
    def fingerprint(self, exec_properties: dict[str, Any]) -> str:
        """The fingerprint of what the step will read.

        Raises:
          OSError, ValueError: what is to be read is not there, with what to do about it.
        """

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Called by TFX's launcher."""
        output = driver_output_pb2.DriverOutput()
        value = self.fingerprint(execution_info.exec_properties)
        data_types_utils.set_metadata_value(output.exec_properties[FINGERPRINT], value)
        return output
