"""TFX's own generic trainer, with the features as one input more."""

from typing import Any

from tfx.components.trainer import executor as trainer_executor
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact


class Executor(trainer_executor.GenericExecutor):
    """See `component.Trainer`."""

    def _GetFnArgs(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> FnArgs:
        fn_args = super()._GetFnArgs(input_dict, output_dict, exec_properties)
        fn_args.custom_config["features"] = artifact_utils.get_single_uri(input_dict["features"])
        fn_args.custom_config["training"]["epochs"] = exec_properties["epochs"]
        return fn_args
