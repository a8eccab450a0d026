"""TFX's own generic trainer, with the features as one input more."""

from typing import Any

from tfx.components.trainer import executor as trainer_executor
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components import records
from components.features import Manifest


class Executor(trainer_executor.GenericExecutor):
    """See `component.Trainer`."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        with Manifest.load(artifact_utils.get_single_uri(input_dict["features"])).mending():
            super().Do(input_dict, output_dict, exec_properties)
        for made in (*output_dict["model"], *output_dict["model_run"]):
            made.set_string_custom_property(records.MODEL_NAME, exec_properties["model_name"])

    def _GetFnArgs(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> FnArgs:
        fn_args = super()._GetFnArgs(input_dict, output_dict, exec_properties)
        fn_args.custom_config["features"] = artifact_utils.get_single_uri(input_dict["features"])
        fn_args.custom_config["checkpoint_dir"] = exec_properties["checkpoint_dir"]
        fn_args.custom_config["source"] = exec_properties["source"]
        fn_args.custom_config["settings"] |= {
            "epochs": exec_properties["epochs"],
            "model": exec_properties["model_name"],
        }
        return fn_args
