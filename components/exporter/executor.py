"""The Exporter's executor."""

from collections.abc import Mapping
from typing import Any

import tensorflow_transform as tft
from tfx.utils import path_utils

from components.exporter import saved_model
from components.exporter.settings import DecodingSettings
from components.shared import records
from components.shared.features import Backbone, Manifest
from components.shared.models import weights
from components.shared.settings import from_property
from components.shared.step import Artifacts, StepExecutor
from components.shared.words import Tokenization


class Executor(StepExecutor):
    """See `component.Exporter`."""

    SETTINGS_CLASS = DecodingSettings

    def run(
        self, inputs: Artifacts, outputs: Artifacts, settings: DecodingSettings, exec_properties: Mapping[str, Any]
    ) -> None:
        trained, model = inputs["weights"], outputs["model"]
        captioner = saved_model.Captioner(
            weights.load(trained.uri),
            Backbone(Manifest.load(inputs["features"].uri).directory),
            tft.TFTransformOutput(inputs["transform_graph"].uri).vocabulary_file_by_name(records.VOCABULARY),
            settings,
            from_property(Tokenization, exec_properties[records.TOKENIZATION]),
        )
        saved_model.save(captioner, path_utils.serving_model_dir(model.uri), weights.describe(trained.uri))
        model.set_string_custom_property(records.MODEL_LABEL, trained.get_string_custom_property(records.MODEL_LABEL))
