"""A driver that adds to the cache key what a step depends on outside its inputs.

TFX's launcher calls the driver when the step starts, hashes its execution properties with the inputs into the cache
key, and decides whether an earlier execution can be reused: tomorrow's run of the same compiled pipeline sees
tomorrow's images. The driver only observes. (TFX does the same for its FileBasedExampleGen.)
"""

import abc
from collections.abc import Mapping
from typing import Any

from tfx.dsl.components.base import base_driver as compiled_driver
from tfx.orchestration import data_types_utils, metadata
from tfx.orchestration.portable import base_driver, data_types
from tfx.proto.orchestration import driver_output_pb2


class ObservingDriver(compiled_driver.BaseDriver, base_driver.BaseDriver, metaclass=abc.ABCMeta):
    """Sets execution properties to what is observed when the step runs, so that they become part of the cache key."""

    def __init__(self, metadata_handle: metadata.Metadata):
        # the pipeline compiler wants a subclass of the first, the launcher one of the second
        compiled_driver.BaseDriver.__init__(self, metadata_handle)
        base_driver.BaseDriver.__init__(self, metadata_handle)

    @property
    def mlmd(self) -> metadata.Metadata:
        """ML Metadata, to be opened by `with`."""
        return self._mlmd_connection

    @abc.abstractmethod
    def observe(self, execution_info: data_types.ExecutionInfo) -> Mapping[str, Any]:
        """Returns the execution properties to set: name -> text or number.

        Raises:
          OSError, ValueError: what is to be read does not exist, with what to do about it.
        """

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Called by TFX's launcher."""
        output = driver_output_pb2.DriverOutput()
        for name, value in self.observe(execution_info).items():
            execution_info.exec_properties[name] = value
            data_types_utils.set_metadata_value(output.exec_properties[name], value)
        return output
