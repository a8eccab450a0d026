"""TFX's Pusher with an atomic push, which pushes the same model once."""

from typing import Any

from absl import logging
from tfx.components.pusher import executor as pusher_executor
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import io_utils, proto_utils

from components.pusher import push
from components.shared import records


def base_directory_of(exec_properties: dict[str, Any]) -> str:
    """The directory that the model server watches."""
    destination = pusher_pb2.PushDestination()
    proto_utils.json_to_proto(exec_properties["push_destination"], destination)
    if not destination.HasField("filesystem"):
        raise ValueError("push_destination: only a filesystem is supported")
    return destination.filesystem.base_directory


class Executor(pusher_executor.Executor):
    """Replaces TFX's push, which copies into the numbered directory: a server may load half a model."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        self._log_startup(input_dict, output_dict, exec_properties)
        pushed_model = artifact_utils.get_single_instance(output_dict["pushed_model"])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed_model)
            return
        base_directory, model_dir = base_directory_of(exec_properties), self.GetModelPath(input_dict)
        version, is_new = push.push(model_dir, base_directory)
        self._MarkPushed(pushed_model, f"{base_directory}/{version}", version)
        if is_new:
            logging.info("pushed as version %s", version)
            io_utils.copy_dir(model_dir, pushed_model.uri)  # the artifact keeps a copy, as TFX's does
        else:
            logging.info("already pushed as version %s", version)
            self._MarkNotPushed(pushed_model)
            pushed_model.set_string_custom_property(records.DECISION, records.UNCHANGED)
