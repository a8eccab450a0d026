"""TFX's ExampleValidator, which writes anomalies down, and stops the pipeline at errors."""

from collections.abc import Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.components.example_validator import executor as validator_executor
from tfx.proto.orchestration import execution_result_pb2
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.utils import io_utils


class InvalidData(ValueError):
    """The data breaks the schema."""


def errors_in(split: str, anomalies: anomalies_pb2.Anomalies) -> list[str]:
    """A line for each anomaly that is an error: split, feature, what is wrong."""
    lines = [
        f"{split}: {feature}: {info.description}"
        for feature, info in sorted(anomalies.anomaly_info.items())
        if info.severity == anomalies_pb2.AnomalyInfo.ERROR
    ]
    if anomalies.HasField("dataset_anomaly_info"):
        lines += [f"{split}: {reason.description}" for reason in anomalies.dataset_anomaly_info.reason]
    return lines


def check(anomalies: Mapping[str, anomalies_pb2.Anomalies]) -> None:
    """Raises InvalidData if there are errors; anomalies: split -> what TFDV found."""
    lines = [line for split in sorted(anomalies) for line in errors_in(split, anomalies[split])]
    if lines:
        raise InvalidData("\n  ".join([f"the data breaks the schema in {len(lines)} places:", *lines]))


class Executor(validator_executor.Executor):
    """See `component.ExampleValidator`."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> execution_result_pb2.ExecutorOutput:
        output = super().Do(input_dict, output_dict, exec_properties)
        artifact = artifact_utils.get_single_instance(output_dict["anomalies"])
        found = {}
        for split in artifact_utils.decode_split_names(artifact.split_names):
            uri = artifact_utils.get_split_uri([artifact], split)
            found[split] = anomalies_pb2.Anomalies.FromString(
                io_utils.read_bytes_file(f"{uri}/{validator_executor.DEFAULT_FILE_NAME}")
            )
        check(found)
        return output
