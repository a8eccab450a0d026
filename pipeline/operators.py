"""Operators of TFX's launcher: artifacts in a bucket are staged, and damaged outputs are not reused.

A step's outputs are on the disk, or in the bucket, before they are published.

They run every step, those of TFX included.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import message
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.portable import (
    base_driver_operator,
    beam_executor_operator,
    cache_utils,
    data_types,
    python_driver_operator,
    python_executor_operator,
)
from tfx.proto.orchestration import driver_output_pb2, executable_spec_pb2, execution_result_pb2
from tfx.types.artifact import Artifact

from components.shared import storage, tfx_filesystem
from components.shared.contents import FILES, damaged_file, describe
from components.shared.progress import LOGGER
from pipeline import staging

tfx_filesystem.register()

Beam, Python = executable_spec_pb2.BeamExecutableSpec, executable_spec_pb2.PythonClassExecutableSpec


class PythonOperator(python_executor_operator.PythonExecutorOperator):
    """Runs a step with its artifacts on this disk, and then makes its outputs safe."""

    def run_executor(self, execution_info: data_types.ExecutionInfo) -> execution_result_pb2.ExecutorOutput:
        with staging.staged(execution_info) as execution:
            output = super().run_executor(execution.info)
            execution.publish(output)
        return _secure(output)


class BeamOperator(beam_executor_operator.BeamExecutorOperator):
    """The same for a step that runs in Beam."""

    def run_executor(
        self, execution_info: data_types.ExecutionInfo, make_beam_pipeline_fn: Callable[[], Any] | None = None
    ) -> execution_result_pb2.ExecutorOutput:
        with staging.staged(execution_info) as execution:
            output = super().run_executor(execution.info, make_beam_pipeline_fn)
            execution.publish(output)
        return _secure(output)


EXECUTOR_OPERATORS = {Python: PythonOperator, Beam: BeamOperator}


class CheckingDriverOperator(base_driver_operator.BaseDriverOperator):
    """Runs a step's driver if it has one, and hides damaged outputs from the cache, which the launcher asks next."""

    SUPPORTED_EXECUTABLE_SPEC_TYPE = [Python]

    def __init__(
        self, driver_spec: message.Message, mlmd_connection: metadata.Metadata, executor_spec: message.Message | None
    ):
        super().__init__(driver_spec, mlmd_connection)
        self._executor_spec = executor_spec
        self._driver = (
            python_driver_operator.PythonDriverOperator(driver_spec, mlmd_connection)
            if driver_spec.class_path
            else None
        )

    def run_driver(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        output = self._driver.run_driver(execution_info) if self._driver else driver_output_pb2.DriverOutput()
        observed = {name: getattr(value, value.WhichOneof("value")) for name, value in output.exec_properties.items()}
        with self._mlmd_connection as handle:
            context = cache_utils.get_cache_context(
                handle,
                pipeline_node=execution_info.pipeline_node,
                pipeline_info=execution_info.pipeline_info,
                executor_spec=self._executor_spec,
                input_artifacts=execution_info.input_dict,
                output_artifacts=execution_info.output_dict,
                parameters={**execution_info.exec_properties, **observed},
            )
            while cached := cache_utils.get_cached_outputs(handle, context):
                if not hide_damaged(handle.store, [artifact for outputs in cached.values() for artifact in outputs]):
                    break
        return output


def driver_operators(executor_spec: message.Message | None) -> Mapping[type[message.Message], Callable[..., Any]]:
    """The launcher's argument of the name `custom_driver_operators`, for a node with this executor."""
    return {Python: functools.partial(CheckingDriverOperator, executor_spec=executor_spec)}


def hide_damaged(store: MetadataStore, artifacts: list[Artifact]) -> bool:
    """Marks artifacts whose files are damaged as deleted in ML Metadata; returns whether there are any."""
    damaged = []
    for artifact in artifacts:
        if path := damaged_file(artifact.mlmd_artifact):
            LOGGER.warning("%s is damaged or gone; the outputs that it belongs to are made again", path)
            damaged.append(artifact.mlmd_artifact)
    for proto in damaged:
        proto.state = metadata_store_pb2.Artifact.DELETED
    if damaged:
        store.put_artifacts(damaged)
    return bool(damaged)


def _secure(output: execution_result_pb2.ExecutorOutput) -> execution_result_pb2.ExecutorOutput:
    """Waits until a step's outputs are safe, and describes their files."""
    for artifacts in output.output_artifacts.values():
        for artifact in artifacts.artifacts:
            storage.sync_tree(artifact.uri)
            artifact.custom_properties[FILES].string_value = describe(artifact.uri)
    return output
