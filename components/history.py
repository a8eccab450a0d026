"""What ML Metadata knows of a model's past."""

import math
from collections.abc import Iterable
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.records import CANDIDATE_ID, DECISION, TEST_SET, UNCHANGED

COMMIT = "commit"  # custom property of an execution: the code's version, where it is known


def evaluation_of(store: MetadataStore, model_id: int) -> metadata_store_pb2.Artifact | None:
    """The latest evaluation in which a model was measured; None if there is none."""
    return _latest_about(store, "ModelEvaluation", model_id)


def report_of(store: MetadataStore, model_id: int) -> metadata_store_pb2.Artifact | None:
    """The latest report about a model; None if there is none."""
    return _latest_about(store, "captions.Report", model_id)


def says_something(artifact: metadata_store_pb2.Artifact) -> bool:
    """Whether an evaluation has figures, or a report a page: not where the candidate was known to the last digit."""
    found = artifact.custom_properties  # to look for a key that is not there would add it
    return found[DECISION].string_value != UNCHANGED or TEST_SET in found


def _latest_about(store: MetadataStore, type_name: str, model_id: int) -> metadata_store_pb2.Artifact | None:
    found = [
        artifact
        for artifact in store.get_artifacts_by_type(type_name)
        if artifact.custom_properties[CANDIDATE_ID].int_value == model_id
        and says_something(artifact)
        and artifact.state == metadata_store_pb2.Artifact.LIVE
    ]
    return max(found, key=lambda artifact: artifact.id, default=None)


def ancestry(store: MetadataStore, artifact_ids: Iterable[int], most: float = math.inf) -> list[dict[str, Any]]:
    """The executions that made some artifacts, and all that these were made from.

    A model that began with another's weights has that one's ancestors, too, which with retraining every night are
    without end; the nearest ones are found first.

    Args:
      store: ML Metadata.
      artifact_ids: where to begin.
      most: executions after which no further ones are looked for; as many more may be found as ran side by side.

    Returns:
      [{execution, node, run, distance, started (seconds since 1970), seconds, parameters, commit, inputs, outputs}] in
      the order in which they ran, JSON-serializable; distance is how many steps lie between, 0 for what made the
      artifacts; inputs and outputs are {key: [{id, type, uri}]}.
    """
    waiting, seen = set(artifact_ids), set[int]()
    found: dict[int, tuple[metadata_store_pb2.Execution, list[metadata_store_pb2.Event]]] = {}
    distances: dict[int, int] = {}
    while waiting and len(found) < most:
        seen |= waiting
        outputs = _events(store.get_events_by_artifact_ids(sorted(waiting)), metadata_store_pb2.Event.OUTPUT)
        # an artifact that the cache answered with was put out again later; the first execution made it
        makers: dict[int, int] = {}
        for event in sorted(outputs, key=lambda event: event.execution_id):
            makers.setdefault(event.artifact_id, event.execution_id)
        executions = set(makers.values()) - found.keys()
        distances |= dict.fromkeys(executions, max(distances.values(), default=-1) + 1)
        events = store.get_events_by_execution_ids(sorted(executions)) if executions else []
        for execution in store.get_executions_by_id(sorted(executions)) if executions else []:
            found[execution.id] = (execution, [event for event in events if event.execution_id == execution.id])
        waiting = {event.artifact_id for event in _events(events, metadata_store_pb2.Event.INPUT)} - seen
    artifacts = _artifacts(store, [event for _, events in found.values() for event in events])
    return [
        _described(store, *found[execution_id], artifacts) | {"distance": distances[execution_id]}
        for execution_id in sorted(found)
    ]


def _events(events: Iterable[metadata_store_pb2.Event], kind: int) -> list[metadata_store_pb2.Event]:
    return [event for event in events if event.type == kind]


def _artifacts(store: MetadataStore, events: Iterable[metadata_store_pb2.Event]) -> dict[int, dict[str, Any]]:
    ids = sorted({event.artifact_id for event in events})
    return {a.id: {"id": a.id, "type": a.type, "uri": a.uri} for a in store.get_artifacts_by_id(ids)} if ids else {}


def _described(
    store: MetadataStore,
    execution: metadata_store_pb2.Execution,
    events: list[metadata_store_pb2.Event],
    artifacts: dict[int, dict[str, Any]],
) -> dict[str, Any]:
    contexts = {context.type: context.name for context in store.get_contexts_by_execution(execution.id)}
    ports: dict[int, dict[str, list]] = {metadata_store_pb2.Event.INPUT: {}, metadata_store_pb2.Event.OUTPUT: {}}
    for event in events:
        if event.type in ports and event.path.steps:
            ports[event.type].setdefault(event.path.steps[0].key, []).append(artifacts[event.artifact_id])
    parameters = {name: _value(value) for name, value in sorted(execution.custom_properties.items())}
    return {
        "execution": execution.id,
        "node": contexts.get("node", "").rpartition(".")[2] or execution.type,
        "run": contexts.get("pipeline_run", ""),
        "started": execution.create_time_since_epoch / 1000,
        "seconds": (execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1000,
        "commit": parameters.pop(COMMIT, None),
        "parameters": parameters,
        "inputs": ports[metadata_store_pb2.Event.INPUT],
        "outputs": ports[metadata_store_pb2.Event.OUTPUT],
    }


def _value(value: metadata_store_pb2.Value) -> int | float | str:
    return getattr(value, value.WhichOneof("value") or "string_value")
