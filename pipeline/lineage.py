"""What ML Metadata knows of a run."""

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler_utils, constants
from tfx.dsl.io import fileio
from tfx.orchestration import metadata
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.records import DECISION, EVALUATION_FILE, UNCHANGED


def other_pipelines(store: MetadataStore, pipeline_name: str) -> str:
    """What to say where a pipeline is not known: which ones are; empty where there are none."""
    names = sorted(context.name for context in store.get_contexts_by_type(constants.PIPELINE_CONTEXT_TYPE_NAME))
    others = ", ".join(name for name in names if name != pipeline_name)
    return f"; there are runs of {others}: name the settings of one with --config, or --set name=…" if others else ""


def outputs_of(store: MetadataStore, execution_id: int) -> dict[str, Artifact]:
    """The artifacts that an execution made or took from the cache: output name -> artifact."""
    events = [
        event
        for event in store.get_events_by_execution_ids([execution_id])
        if event.type == metadata_store_pb2.Event.OUTPUT
    ]
    artifacts = {artifact.id: artifact for artifact in store.get_artifacts_by_id([e.artifact_id for e in events])}
    outputs = {}
    for event in events:
        artifact = artifacts[event.artifact_id]
        [artifact_type] = store.get_artifact_types_by_id([artifact.type_id])
        outputs[event.path.steps[0].key] = artifact_utils.deserialize_artifact(artifact_type, artifact)
    return outputs


def evaluation_in(uri: str) -> dict[str, Any]:
    """What the evaluator has written into the directory of an `evaluation`; empty where it is gone."""
    path = os.path.join(uri, EVALUATION_FILE)
    if not fileio.exists(path):
        return {}
    with fileio.open(path) as file:
        return json.load(file)


def figure_text(figure: dict[str, float]) -> str:
    """A figure with its 95 % interval."""
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def is_unchanged(store: MetadataStore, execution_id: int) -> bool:
    """Whether the evaluator or the Pusher found that nothing is new."""
    outputs = outputs_of(store, execution_id).values()
    return any(output.get_string_custom_property(DECISION) == UNCHANGED for output in outputs)


def run_outputs(
    handle: metadata.Metadata, pipeline_name: str, run_id: str, node_ids: Sequence[str]
) -> dict[str, dict[str, Artifact]]:
    """The artifacts of a run: node -> output name -> artifact, for the nodes that ended well."""
    run_context = handle.store.get_context_by_type_and_name(constants.PIPELINE_RUN_CONTEXT_TYPE_NAME, run_id)
    found = {}
    for node_id in node_ids:
        execution = _successful(handle, pipeline_name, run_context, node_id)
        if execution is not None:
            found[node_id] = outputs_of(handle.store, execution.id)
    return found


def last_run_with(handle: metadata.Metadata, pipeline_name: str, node_ids: Sequence[str]) -> str | None:
    """The latest run in which all of some nodes ended well; None if there is none."""
    return next(runs_with(handle, pipeline_name, node_ids), None)


def runs_with(handle: metadata.Metadata, pipeline_name: str, node_ids: Sequence[str]) -> Iterator[str]:
    """The runs in which all of some nodes ended well, the latest first."""
    pipeline = handle.store.get_context_by_type_and_name(constants.PIPELINE_CONTEXT_TYPE_NAME, pipeline_name)
    if pipeline is None:
        return
    runs = handle.store.get_children_contexts_by_context(pipeline.id)
    for run_context in sorted(runs, key=lambda run: run.create_time_since_epoch, reverse=True):
        if all(_successful(handle, pipeline_name, run_context, node_id) for node_id in node_ids):
            yield run_context.name


def _successful(
    handle: metadata.Metadata, pipeline_name: str, run_context: metadata_store_pb2.Context | None, node_id: str
) -> metadata_store_pb2.Execution | None:
    """The latest successful execution of a node in a run, cached ones included."""
    node_context = handle.store.get_context_by_type_and_name(
        constants.NODE_CONTEXT_TYPE_NAME, compiler_utils.node_context_name(pipeline_name, node_id)
    )
    if run_context is None or node_context is None:
        return None
    executions = execution_lib.get_executions_associated_with_all_contexts(handle, [run_context, node_context])
    successful = [execution for execution in executions if execution_lib.is_execution_successful(execution)]
    return max(successful, key=lambda execution: execution.id, default=None)
