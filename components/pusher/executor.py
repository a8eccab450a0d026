"""TFX's Pusher, with a push that is atomic and done once."""

from typing import Any

from absl import logging
from tfx.components.pusher import executor as pusher_executor
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import io_utils, proto_utils

from components import records
from components.pusher import push


def base_directory_of(exec_properties: dict[str, Any]) -> str:
    """The directory that the server watches."""
    destination = pusher_pb2.PushDestination()
    proto_utils.json_to_proto(exec_properties["push_destination"], destination)
    if not destination.HasField("filesystem"):
        raise ValueError("push_destination: only a filesystem is known")
    return destination.filesystem.base_directory


class Executor(pusher_executor.Executor):
    """TFX's copies straight into the numbered directory, where a server may load half a model, and once a run."""

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
            io_utils.copy_dir(model_dir, pushed_model.uri)  # TFX keeps what was pushed in the artifact, too
        else:
            logging.info("version %s is this model already", version)
            self._MarkNotPushed(pushed_model)
            pushed_model.set_string_custom_property(records.DECISION, records.UNCHANGED)
