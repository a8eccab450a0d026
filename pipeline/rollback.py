"""Serves the model before the present one again, and sees to it that no run serves the present one once more."""

import dataclasses
import datetime
import os

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.utils import path_utils

from components import records
from components.pusher import push
from pipeline import lineage

EXECUTION_TYPE = "captions.Rollback"


class CannotRollBack(ValueError):
    """There is nothing to go back to; the message says why."""


@dataclasses.dataclass(frozen=True)
class Push:
    """A version that ML Metadata knows.

    Attributes:
      version: its name below the server's directory.
      artifact: of type PushedModel.
      model: what was pushed.
      blessing: by which it was pushed.
    """

    version: str
    artifact: metadata_store_pb2.Artifact
    model: metadata_store_pb2.Artifact
    blessing: metadata_store_pb2.Artifact

    @property
    def withdrawn(self) -> bool:
        """Whether the model was rolled back."""
        return records.ROLLED_BACK in self.model.custom_properties


@dataclasses.dataclass(frozen=True)
class Rollback:
    """What was done: version `gone` is not the newest any more; the model of `back` is, as version `new`."""

    gone: str
    back: str
    new: str


def roll_back(store: MetadataStore, pipeline_name: str, serving_dir: str, to: str | None = None) -> Rollback:
    """Makes an earlier version's model the newest version.

    The present model is marked, so that the evaluator refuses it from now on; the earlier one becomes the baseline of
    the next run. This is written down before anything is pushed: cut off in between, it can be done again.

    Args:
      store: ML Metadata.
      pipeline_name: whose.
      serving_dir: the directory that the server watches.
      to: the version to go back to; None: the one before the present model's, of those not rolled back themselves.

    Raises:
      CannotRollBack: there is no such version, or its files are gone.
    """
    newest = push.newest_version(serving_dir)
    if newest is None:
        raise CannotRollBack(f"nothing is served in {serving_dir}")
    pushes = pushes_of(store, pipeline_name)
    if not pushes:
        others = lineage.other_pipelines(store, pipeline_name)
        raise CannotRollBack(f"{pipeline_name} has pushed nothing to {serving_dir} that one could go back to{others}")
    present = next((one for one in pushes if one.version == newest), None)
    target = _target(pushes, present, newest, to)
    source = _files(serving_dir, target)
    pipeline = store.get_context_by_type_and_name(constants.PIPELINE_CONTEXT_TYPE_NAME, pipeline_name)
    if present is not None:
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        present.model.custom_properties[records.ROLLED_BACK].string_value = now
        store.put_artifacts([present.model])
    if target.withdrawn:  # it is asked for by name: good again
        del target.model.custom_properties[records.ROLLED_BACK]
        store.put_artifacts([target.model])
    # the blessing is put out once more, as the cache would: the last one given tells the baseline
    _record(store, pipeline, {"model": target.model}, {"blessing": target.blessing})
    version, _ = push.push(source, serving_dir)
    _record(store, pipeline, {"model": target.model, "model_blessing": target.blessing}, {
        "pushed_model": _pushed(target.artifact, source, os.path.join(serving_dir, version), version)
    })  # fmt: skip
    return Rollback(newest, target.version, version)


def pushes_of(store: MetadataStore, pipeline_name: str) -> list[Push]:
    """The versions that a pipeline has pushed, in their order."""
    pipeline = store.get_context_by_type_and_name(constants.PIPELINE_CONTEXT_TYPE_NAME, pipeline_name)
    found: dict[str, Push] = {}
    for artifact in store.get_artifacts_by_context(pipeline.id) if pipeline else []:
        version = artifact.custom_properties["pushed_version"].string_value
        if artifact.type != "PushedModel" or not version or version in found:
            continue
        made = [e for e in store.get_events_by_artifact_ids([artifact.id]) if e.type == metadata_store_pb2.Event.OUTPUT]
        events = store.get_events_by_execution_ids([min(event.execution_id for event in made)])
        inputs = {e.path.steps[0].key: e.artifact_id for e in events if e.type == metadata_store_pb2.Event.INPUT}
        model, blessing = (store.get_artifacts_by_id([inputs[key]])[0] for key in ("model", "model_blessing"))
        found[version] = Push(version, artifact, model, blessing)
    return sorted(found.values(), key=lambda one: int(one.version))


def _target(pushes: list[Push], present: Push | None, newest: str, to: str | None) -> Push:
    """The push to go back to."""
    known = ", ".join(f"{one.version}{' (rolled back)' if one.withdrawn else ''}" for one in pushes) or "none"
    if to is not None:
        found = [one for one in pushes if one.version == to]
        if not found:
            raise CannotRollBack(f"no version {to} was pushed; there are {known}")
        if present is not None and found[0].model.id == present.model.id:
            raise CannotRollBack(f"version {to} is the model that is served")
        return found[0]
    if present is None:
        raise CannotRollBack(
            f"the served version {newest} was not pushed by this pipeline: say where to go with --to, one of {known}"
        )
    earlier = [one for one in pushes if one.model.id != present.model.id and not one.withdrawn]
    earlier = [one for one in earlier if int(one.version) < int(newest)]
    if not earlier:
        raise CannotRollBack(f"no version before {newest} to go back to; there are {known}")
    return earlier[-1]


def _files(serving_dir: str, target: Push) -> str:
    """A directory that still has the model."""
    places = (
        os.path.join(serving_dir, target.version),
        target.artifact.uri,
        path_utils.serving_model_path(target.model.uri),
    )
    for place in places:
        if os.path.isfile(os.path.join(place, "saved_model.pb")):
            return place
    raise CannotRollBack(f"version {target.version} is gone: none of {', '.join(places)} has it any more")


def _pushed(like: metadata_store_pb2.Artifact, uri: str, destination: str, version: str) -> metadata_store_pb2.Artifact:
    made = metadata_store_pb2.Artifact(type_id=like.type_id, uri=uri, state=metadata_store_pb2.Artifact.LIVE)
    made.custom_properties["pushed"].int_value = 1
    made.custom_properties["pushed_destination"].string_value = destination
    made.custom_properties["pushed_version"].string_value = version
    return made


def _record(
    store: MetadataStore,
    pipeline: metadata_store_pb2.Context,
    inputs: dict[str, metadata_store_pb2.Artifact],
    outputs: dict[str, metadata_store_pb2.Artifact],
) -> None:
    """Writes down an execution of the pipeline's."""
    execution = metadata_store_pb2.Execution(
        type_id=store.put_execution_type(metadata_store_pb2.ExecutionType(name=EXECUTION_TYPE)),
        last_known_state=metadata_store_pb2.Execution.COMPLETE,
    )
    events = []
    for kind, ports in (
        (metadata_store_pb2.Event.INPUT, inputs),
        (metadata_store_pb2.Event.OUTPUT, outputs),
    ):
        for key, artifact in ports.items():
            event = metadata_store_pb2.Event(type=kind)
            event.path.steps.add().key = key
            event.path.steps.add().index = 0
            events.append((artifact, event))
    store.put_execution(execution, events, [pipeline])
