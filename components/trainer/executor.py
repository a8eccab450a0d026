"""The Trainer's executor."""

import os
from collections.abc import Mapping
from typing import Any

from tfx.utils import path_utils

from components.shared import record_files, records, step
from components.shared.features import Manifest
from components.shared.models import weights
from components.shared.step import Artifacts, StepExecutor
from components.trainer import training
from components.trainer.checkpoints import checkpoints_of
from components.trainer.data import TrainingData
from components.trainer.settings import TrainerSettings

LOGS = "logs"  # directory in `model_run`


class Executor(StepExecutor):
    """See `component.Trainer`."""

    SETTINGS_CLASS = TrainerSettings

    def run(
        self, inputs: Artifacts, outputs: Artifacts, settings: TrainerSettings, exec_properties: Mapping[str, Any]
    ) -> None:
        label = exec_properties["label"]
        base_model = path_utils.serving_model_dir(inputs["base_model"].uri) if "base_model" in inputs else None
        manifest = Manifest.load(inputs["features"].uri)
        with manifest.deleting_corrupt_shards():
            files = {
                split: record_files.split_files(inputs["examples"], split) for split in (records.TRAIN, records.EVAL)
            }
            data = TrainingData.load(files, inputs["transform_graph"].uri, manifest)
            key = training.training_key(settings, label, exec_properties[step.CODE], base_model, data)
            log_dir = os.path.join(outputs["model_run"].uri, LOGS)
            with checkpoints_of(key, exec_properties[records.CHECKPOINT_DIR]) as checkpoints:
                model = training.train(data, settings, checkpoints, log_dir, base_model)
        weights.save(model, outputs["weights"].uri, label, manifest.fingerprint)
        outputs["weights"].set_int_custom_property(records.NUM_PARAMETERS, model.count_params())
        for output in outputs.values():
            output.set_string_custom_property(records.MODEL_LABEL, label)
        # not deleted here: a run that is killed before the weights are recorded resumes from them
        outputs["weights"].set_string_custom_property(records.CHECKPOINT_DIR, checkpoints.directory)
