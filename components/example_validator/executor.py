"""The validator's executor: reads statistics and schema, writes the anomalies, fails at errors."""

import json
import os
from collections.abc import Collection, Mapping
from typing import Any

from absl import logging
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.components.example_validator.executor import DEFAULT_FILE_NAME
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.example_validator import counting, validation
from components.example_validator.settings import ExampleValidatorSettings
from components.shared import storage
from components.shared.record_files import split_files
from components.shared.records import SPLITS, TRAIN, WARNINGS
from components.shared.step import Artifacts, StepExecutor

PREVIOUS = "previous_statistics"  # execution property that the driver sets: a uri; "" if there are none


class Executor(StepExecutor):
    """See `component.ExampleValidator`."""

    SETTINGS_CLASS = ExampleValidatorSettings

    def run(
        self,
        inputs: Artifacts,
        outputs: Artifacts,
        settings: ExampleValidatorSettings,
        exec_properties: Mapping[str, Any],
    ) -> None:
        schema = io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(inputs["schema"].uri))
        previous = exec_properties[PREVIOUS]
        statistics = {split: _read(inputs["statistics"].uri, split) for split in SPLITS}
        anomalies = validation.validate(statistics, schema, _read(previous, TRAIN) if previous else None)

        # written first, for the tools that read them: the data may be invalid
        artifact = outputs["anomalies"]
        artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))
        for split, split_anomalies in anomalies.items():
            path = os.path.join(artifact.uri, f"Split-{split}", DEFAULT_FILE_NAME)
            storage.write_bytes(path, split_anomalies.SerializeToString(deterministic=True))

        def count(split: str, names: Collection[str]) -> Mapping[str, int]:
            features = [feature for feature in schema.feature if feature.name in names]
            return counting.count_invalid(split_files(inputs["examples"], split), features)

        problems = validation.find_problems(anomalies, statistics, count)
        validation.check(problems, settings.on_drift)
        for problem in problems:
            logging.warning("%s", problem)
        artifact.set_string_custom_property(WARNINGS, json.dumps([str(problem) for problem in problems]))


def _read(uri: str, split: str) -> statistics_pb2.DatasetFeatureStatisticsList:
    """The statistics of a split, as StatisticsGen writes them."""
    data = storage.read_bytes(os.path.join(uri, f"Split-{split}", "FeatureStats.pb"))
    return statistics_pb2.DatasetFeatureStatisticsList.FromString(data)
