"""The validator's executor: reads statistics and schema, writes the anomalies, fails at errors."""

import json
import os
from collections.abc import Collection, Mapping
from typing import Any

from absl import logging
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.components.example_validator.executor import DEFAULT_FILE_NAME
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import io_utils

from components.atomic import whole_file
from components.example_validator import counting, validation
from components.records import SPLITS, TRAIN, WARNINGS, split_files

PREVIOUS = "previous_statistics"  # exec property, of the driver: uri, "" if there are none


class Executor(BaseExecutor):
    """See `component.ExampleValidator`."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        uri = artifact_utils.get_single_uri(input_dict["statistics"])
        schema = io_utils.SchemaReader().read(
            io_utils.get_only_uri_in_dir(artifact_utils.get_single_uri(input_dict["schema"]))
        )
        before = exec_properties[PREVIOUS]
        statistics = {split: _read(uri, split) for split in SPLITS}
        anomalies = validation.validate(statistics, schema, _read(before, TRAIN) if before else None)

        artifact = artifact_utils.get_single_instance(output_dict["anomalies"])
        artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))
        for split, found in anomalies.items():
            path = os.path.join(artifact.uri, f"Split-{split}", DEFAULT_FILE_NAME)
            with whole_file(path) as partial, fileio.open(partial, "wb") as file:
                file.write(found.SerializeToString(deterministic=True))

        def count(split: str, names: Collection[str]) -> Mapping[str, int]:
            features = [feature for feature in schema.feature if feature.name in names]
            return counting.count_broken(split_files(examples, split), features)

        problems = validation.problems(anomalies, statistics, count)
        validation.check(problems, exec_properties["on_drift"])
        for problem in problems:
            logging.warning("%s", problem)
        artifact.set_string_custom_property(WARNINGS, json.dumps([str(problem) for problem in problems]))


def _read(uri: str, split: str) -> statistics_pb2.DatasetFeatureStatisticsList:
    """The statistics of a split, as StatisticsGen writes them."""
    with fileio.open(os.path.join(uri, f"Split-{split}", "FeatureStats.pb"), "rb") as file:
        return statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read())
