"""One execution of a step: its properties, and the artifacts that it read and wrote."""

from collections.abc import Iterable, Mapping
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.portable.mlmd import event_lib, execution_lib
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.shared.records import DECISION, UNCHANGED

COMMIT = "commit"  # custom property of an execution: the version of the code, where it is known

Artifacts = dict[str, list[metadata_store_pb2.Artifact]]  # input or output key -> its artifacts


def inputs_and_outputs(store: MetadataStore, execution_id: int) -> tuple[Artifacts, Artifacts]:
    """The artifacts that an execution read, and those that it made or took from the cache."""
    events = store.get_events_by_execution_ids([execution_id])
    artifacts = _by_id(store, {event.artifact_id for event in events})
    return event_lib.reconstruct_inputs_and_outputs(artifacts, events)


def outputs_of(store: MetadataStore, execution_id: int) -> dict[str, Artifact]:
    """The outputs of an execution as TFX's artifacts: output key -> the first artifact of it."""
    _, outputs = inputs_and_outputs(store, execution_id)
    first = {key: artifacts[0] for key, artifacts in outputs.items()}
    types = {each.id: each for each in store.get_artifact_types_by_id(sorted({a.type_id for a in first.values()}))}
    return {key: artifact_utils.deserialize_artifact(types[a.type_id], a) for key, a in first.items()}


def properties_of(execution: metadata_store_pb2.Execution) -> dict[str, int | float | str]:
    """The execution properties of a step, without those that TFX keeps for itself."""
    properties = execution_lib.remove_internal_keys(dict(execution.custom_properties))
    return {name: _value(value) for name, value in sorted(properties.items())}


def node_in(context_name: str) -> str:
    """The node in the name of its context.

    >>> node_in("my.pipeline.Trainer")
    'Trainer'
    """
    return context_name.rpartition(".")[2]


def is_unchanged(store: MetadataStore, execution_id: int) -> bool:
    """Whether a step had nothing new to do: the candidate is the blessed model, or is served already."""
    outputs = outputs_of(store, execution_id).values()
    return any(output.get_string_custom_property(DECISION) == UNCHANGED for output in outputs)


def first_producers(store: MetadataStore, artifact_ids: Iterable[int]) -> dict[int, int]:
    """Artifact -> the execution that made it; later ones took it from the cache."""
    producers: dict[int, int] = {}
    for event in _output_events(store, artifact_ids):
        producers.setdefault(event.artifact_id, event.execution_id)
    return producers


def last_producers(store: MetadataStore, artifact_ids: Iterable[int]) -> dict[int, int]:
    """Artifact -> the last execution that put it out, be it from the cache."""
    return {event.artifact_id: event.execution_id for event in _output_events(store, artifact_ids)}


def record_execution(
    store: MetadataStore,
    pipeline: metadata_store_pb2.Context,
    execution: metadata_store_pb2.Execution,
    inputs: Mapping[str, metadata_store_pb2.Artifact],
    outputs: Mapping[str, metadata_store_pb2.Artifact],
) -> int:
    """Records an execution that is part of a pipeline but of no run, and its artifacts as they are now, all or nothing.

    TFX's `execution_lib.put_execution` wants artifacts of TFX, and rewrites the ones that exist.

    Returns:
      the ID of the execution, which is updated if it has one already.
    """
    ports = ((metadata_store_pb2.Event.INPUT, inputs), (metadata_store_pb2.Event.OUTPUT, outputs))
    events = [
        (artifact, event_lib.generate_event(event_type, key, 0))
        for event_type, artifacts in ports
        for key, artifact in artifacts.items()
    ]
    return store.put_execution(execution, events, [pipeline])[0]


def _output_events(store: MetadataStore, artifact_ids: Iterable[int]) -> list[metadata_store_pb2.Event]:
    """The events that put out some artifacts, in the order of their executions."""
    ids = sorted(set(artifact_ids))
    events = store.get_events_by_artifact_ids(ids) if ids else []
    outputs = filter(event_lib.is_valid_output_event, events)
    return sorted(outputs, key=lambda event: event.execution_id)


def _by_id(store: MetadataStore, artifact_ids: Iterable[int]) -> list[metadata_store_pb2.Artifact]:
    ids = sorted(artifact_ids)
    return store.get_artifacts_by_id(ids) if ids else []


def _value(value: metadata_store_pb2.Value) -> Any:
    return getattr(value, value.WhichOneof("value") or "string_value")
