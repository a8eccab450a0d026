"""Serves the previous model again, and keeps the present one from being blessed once more."""

import dataclasses
import datetime
import os
from collections.abc import Sequence

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.utils import path_utils

from components.pusher import push as pusher
from components.shared import records, storage, tfx_filesystem
from components.shared.contents import FILES, damaged_file, describe
from components.shared.mlmd.executions import inputs_and_outputs, record_execution
from components.shared.mlmd.pushes import DESTINATION, VERSION, Push, model_with_files_of, models_of, pushes_of
from components.shared.mlmd.runs import other_pipelines, pipeline_named
from pipeline.errors import UserError, hint_at_pipelines
from pipeline.paths import display_path

tfx_filesystem.register()  # TFX looks for a model's files

EXECUTION_TYPE = "captions.Rollback"
# custom properties of the execution
PREVIOUS, TARGET, PUSHED = "previous_version", "target_version", "pushed_as_version"


class RollbackError(UserError):
    """There is no version to roll back to; the message says why."""


@dataclasses.dataclass(frozen=True)
class Rollback:
    """What was done: version `previous` is no longer the newest; the model of `target` is, as version `pushed`."""

    previous: str
    target: str
    pushed: str


def roll_back(store: MetadataStore, pipeline_name: str, serving_dir: str, to: str | None = None) -> Rollback:
    """Makes an earlier version's model the newest version.

    The present model is marked, so that the evaluator rejects it from now on; the earlier one becomes the baseline of
    the next run. This is recorded before anything is pushed; a rollback that was interrupted is completed by the next.

    Args:
      store: ML Metadata.
      pipeline_name: the pipeline that has pushed the versions.
      serving_dir: the directory that the model server watches.
      to: the version to roll back to; None: the one before the present model's, of those not rolled back themselves.

    Raises:
      RollbackError: there is no such version, or its files are gone.
    """
    newest = pusher.newest_version(serving_dir)
    if newest is None:
        raise RollbackError(f"nothing is served in {display_path(serving_dir)}; another pipeline: --config or --root")
    pushes = pushes_of(store, pipeline_name)
    if not pushes:
        others = hint_at_pipelines(other_pipelines(store, pipeline_name))
        raise RollbackError(f"{pipeline_name} has pushed nothing to {serving_dir} to roll back to{others}")
    served = _served_model(store, pipeline_name, pushes, serving_dir, newest)
    interrupted = _interrupted(store, pipeline_name, pushes)
    if interrupted and _is_to_be_completed(*interrupted, newest, served, to):
        execution, target = interrupted
        source = _files(serving_dir, target)
    else:
        target = _target(pushes, served, serving_dir, newest, to)
        source = _files(serving_dir, target)
        if interrupted:
            interrupted[0].last_known_state = metadata_store_pb2.Execution.CANCELED
            store.put_executions([interrupted[0]])
        execution = _record_intent(store, pipeline_name, newest, served, target)
    version, _ = pusher.push(source, serving_dir)
    outputs = {}
    if all(push.version != version for push in pushes):
        outputs["pushed_model"] = _pushed(target.artifact, source, os.path.join(serving_dir, version), version)
    execution.last_known_state = metadata_store_pb2.Execution.COMPLETE
    execution.custom_properties[PUSHED].string_value = version
    record_execution(store, pipeline_named(store, pipeline_name), execution, {}, outputs)
    return Rollback(execution.custom_properties[PREVIOUS].string_value, target.version, version)


def describe_last(store: MetadataStore, model: metadata_store_pb2.Artifact) -> str:
    """Describes the last rollback in which a model was taken from service, or was put back.

    Args:
      store: ML Metadata.
      model: the model.

    Returns:
      one line; empty if there was none.
    """
    for execution in sorted(store.get_executions_by_type(EXECUTION_TYPE), key=lambda execution: -execution.id):
        inputs, _ = inputs_and_outputs(store, execution.id)
        models = [artifact.id for artifacts in inputs.values() for artifact in artifacts]
        if model.id in models and execution.last_known_state == metadata_store_pb2.Execution.COMPLETE:
            break
    else:
        return ""
    [pipeline] = store.get_contexts_by_execution(execution.id)
    properties = execution.custom_properties
    previous, target = properties[PREVIOUS].string_value, properties[TARGET].string_value
    pushed = properties[PUSHED].string_value or target
    when = datetime.datetime.fromtimestamp(execution.create_time_since_epoch / 1000).strftime("%Y-%m-%d %H:%M:%S")
    is_newest = any(push.version == pushed for push in pushes_of(store, pipeline.name)[-1:])
    served = f"version {pushed}, the model of {target}, {'is' if is_newest else 'was'} served since the rollback"
    return f"{served} at {when}" + (f"; {previous} is excluded from blessing" if "previous_model" in inputs else "")


def _served_model(
    store: MetadataStore, pipeline_name: str, pushes: Sequence[Push], serving_dir: str, newest: str
) -> metadata_store_pb2.Artifact | None:
    """The model that is served, also where its push was killed before it was recorded; None if it is not known."""
    models = [push.model for push in pushes if push.version == newest]
    if models:
        return models[0]
    return model_with_files_of(models_of(store, pipeline_name), os.path.join(serving_dir, newest))


def _interrupted(
    store: MetadataStore, pipeline_name: str, pushes: Sequence[Push]
) -> tuple[metadata_store_pb2.Execution, Push] | None:
    """The last rollback if it was interrupted after it was recorded, with the push to go back to."""
    pipeline = pipeline_named(store, pipeline_name)
    executions = [
        execution
        for execution in store.get_executions_by_type(EXECUTION_TYPE)
        if pipeline in store.get_contexts_by_execution(execution.id)
    ]
    last = max(executions, key=lambda execution: execution.id, default=None)
    if last is None or last.last_known_state != metadata_store_pb2.Execution.RUNNING:
        return None
    version = last.custom_properties[TARGET].string_value
    return next(((last, push) for push in pushes if push.version == version), None)


def _is_to_be_completed(
    execution: metadata_store_pb2.Execution,
    target: Push,
    newest: str,
    served: metadata_store_pb2.Artifact | None,
    to: str | None,
) -> bool:
    """Whether nothing else was pushed since a rollback was interrupted, and nothing else is asked for now."""
    is_pushed = served is not None and served.id == target.model.id
    return to in (None, target.version) and (is_pushed or newest == execution.custom_properties[PREVIOUS].string_value)


def _record_intent(
    store: MetadataStore,
    pipeline_name: str,
    newest: str,
    served: metadata_store_pb2.Artifact | None,
    target: Push,
) -> metadata_store_pb2.Execution:
    """Records in one transaction which model is no longer to be blessed, and which one is the baseline from now on."""
    execution = metadata_store_pb2.Execution(
        type_id=store.put_execution_type(metadata_store_pb2.ExecutionType(name=EXECUTION_TYPE)),
        last_known_state=metadata_store_pb2.Execution.RUNNING,
    )
    execution.custom_properties[PREVIOUS].string_value = newest
    execution.custom_properties[TARGET].string_value = target.version
    if target.is_rolled_back:  # it is asked for by name: good again
        del target.model.custom_properties[records.ROLLED_BACK]
    inputs = {"model": target.model, "model_blessing": target.blessing}
    if served is not None:
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        served.custom_properties[records.ROLLED_BACK].string_value = now
        inputs["previous_model"] = served
    # the blessing is put out once more, as the cache would: the last one put out determines the baseline
    outputs = {"blessing": target.blessing}
    execution.id = record_execution(store, pipeline_named(store, pipeline_name), execution, inputs, outputs)
    return execution


def _target(
    pushes: Sequence[Push],
    served: metadata_store_pb2.Artifact | None,
    serving_dir: str,
    newest: str,
    to: str | None,
) -> Push:
    """The push to go back to."""
    versions = ", ".join(f"{push.version}{' (rolled back)' if push.is_rolled_back else ''}" for push in pushes)
    if to is not None:
        named = [push for push in pushes if push.version == to]
        if not named:
            raise RollbackError(f"--to {to}: no such version was pushed; the versions are {versions}")
        if served is not None and named[0].model.id == served.id:
            raise RollbackError(f"--to {to}: this model is already being served")
        return named[0]
    if served is None:
        raise RollbackError(
            f"the served version {newest} was not pushed by this pipeline; choose one with --to: {versions}"
        )
    earlier = [push for push in pushes if push.model.id != served.id and not push.is_rolled_back]
    earlier = [push for push in earlier if int(push.version) < int(newest)]
    if not earlier:
        raise RollbackError(
            f"no version before {newest} in {display_path(serving_dir)}; the versions are {versions}: to serve one all "
            "the same, name it with --to; another pipeline: --config or --root"
        )
    return earlier[-1]


def _files(serving_dir: str, target: Push) -> str:
    """A directory that still has the model, intact."""
    served = metadata_store_pb2.Artifact()
    served.CopyFrom(target.artifact)
    served.uri = os.path.join(serving_dir, target.version)
    places = {
        served.uri: served,
        target.artifact.uri: target.artifact,
        path_utils.serving_model_path(target.model.uri): target.model,
    }
    for place, artifact in places.items():
        if storage.exists(os.path.join(place, pusher.SAVED_MODEL)) and damaged_file(artifact) is None:
            return place
    raise RollbackError(
        f"the files of version {target.version} are gone or damaged: it is in none of {', '.join(places)}"
    )


def _pushed(
    template: metadata_store_pb2.Artifact, uri: str, destination: str, version: str
) -> metadata_store_pb2.Artifact:
    """An artifact like the one of the first push, for the new version."""
    pushed = metadata_store_pb2.Artifact(type_id=template.type_id, uri=uri, state=metadata_store_pb2.Artifact.LIVE)
    pushed.custom_properties["pushed"].int_value = 1
    pushed.custom_properties[DESTINATION].string_value = destination
    pushed.custom_properties[VERSION].string_value = version
    pushed.custom_properties[FILES].string_value = describe(uri)
    return pushed
