"""Everything that an artifact was made from."""

import math
from collections.abc import Iterable
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration.portable.mlmd import event_lib

from components.shared.mlmd.executions import COMMIT, first_producers, node_in, properties_of


def ancestry(store: MetadataStore, artifact_ids: Iterable[int], max_steps: float = math.inf) -> list[dict[str, Any]]:
    """The executions that made some artifacts, and all that these were made from.

    A model that was warm-started has the ancestors of its base model, too, which under nightly retraining never end;
    the nearest ones come first.

    Args:
      store: ML Metadata.
      artifact_ids: the artifacts to begin with.
      max_steps: number of executions after which no further ones are looked up; those of the same distance as the
        last one are all included.

    Returns:
      [{execution, node, run, distance, started (seconds since 1970), seconds, parameters, commit, inputs, outputs}] in
      the order in which they ran, JSON-serializable; distance is the number of steps in between, 0 for what made the
      artifacts; inputs and outputs are {key: [{id, type, uri}]}.
    """
    waiting, seen = set(artifact_ids), set[int]()
    executions: dict[int, metadata_store_pb2.Execution] = {}
    events_of: dict[int, list[metadata_store_pb2.Event]] = {}
    distances: dict[int, int] = {}
    while waiting and len(executions) < max_steps:
        seen |= waiting
        ids = sorted(set(first_producers(store, waiting).values()) - executions.keys())
        distances |= dict.fromkeys(ids, max(distances.values(), default=-1) + 1)
        events = store.get_events_by_execution_ids(ids) if ids else []
        executions |= {execution.id: execution for execution in (store.get_executions_by_id(ids) if ids else [])}
        events_of |= {number: [event for event in events if event.execution_id == number] for number in ids}
        waiting = {event.artifact_id for event in events if event_lib.is_valid_input_event(event)} - seen
    artifacts = _artifacts(store, {event.artifact_id for events in events_of.values() for event in events})
    return [
        _describe(store, executions[number], events_of[number], artifacts) | {"distance": distances[number]}
        for number in sorted(executions)
    ]


def _artifacts(store: MetadataStore, artifact_ids: set[int]) -> dict[int, metadata_store_pb2.Artifact]:
    artifacts = store.get_artifacts_by_id(sorted(artifact_ids)) if artifact_ids else []
    return {artifact.id: artifact for artifact in artifacts}


def _describe(
    store: MetadataStore,
    execution: metadata_store_pb2.Execution,
    events: list[metadata_store_pb2.Event],
    artifacts: dict[int, metadata_store_pb2.Artifact],
) -> dict[str, Any]:
    contexts = {context.type: context.name for context in store.get_contexts_by_execution(execution.id)}
    own = [artifacts[number] for number in sorted({event.artifact_id for event in events} & artifacts.keys())]
    inputs, outputs = event_lib.reconstruct_inputs_and_outputs(own, events)
    parameters = properties_of(execution)
    return {
        "execution": execution.id,
        "node": node_in(contexts.get(constants.NODE_CONTEXT_TYPE_NAME, "")) or execution.type,
        "run": contexts.get(constants.PIPELINE_RUN_CONTEXT_TYPE_NAME, ""),
        "started": execution.create_time_since_epoch / 1000,
        "seconds": (execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1000,
        "commit": parameters.pop(COMMIT, None),
        "parameters": parameters,
        "inputs": _ports(inputs),
        "outputs": _ports(outputs),
    }


def _ports(artifacts: dict[str, list[metadata_store_pb2.Artifact]]) -> dict[str, list[dict[str, Any]]]:
    return {key: [{"id": a.id, "type": a.type, "uri": a.uri} for a in values] for key, values in artifacts.items()}
