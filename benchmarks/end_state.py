"""What runs have left in a root: the results, and what should not be there."""

import collections
import dataclasses
import hashlib
import os
import pathlib
from typing import Any

import tensorflow as tf
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.feature_extractor.store import FeatureStore
from components.pusher import push
from components.shared import node_cache, storage
from components.shared.mlmd.results import has_results
from components.shared.mlmd.runs import running_executions
from pipeline.database import open_metadata
from pipeline.leftovers import SYSTEM
from pipeline.paths import Paths

RESULTS = ("data", "metrics", "intervals", "baseline", "comparison_models")  # of a summary
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # which TensorFlow stores beside the variables
SUCCESSFUL = (metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED)


@dataclasses.dataclass(frozen=True)
class EndState:
    """What has to be the same whether the runs of a root were killed or not.

    Attributes:
      results: the parts `RESULTS` of the last summary.
      model: variable or asset of the served model -> SHA-256.
      num_artifacts: number of artifacts with results per type, and of served versions.
    """

    results: dict[str, Any]
    model: dict[str, str]
    num_artifacts: dict[str, int]

    def differences(self, other: "EndState") -> list[str]:
        """Names what differs, such as `metrics` or a variable of the model; empty if nothing does."""
        return [
            name
            for mine, theirs in (
                (self.results, other.results),
                (self.model, other.model),
                (self.num_artifacts, other.num_artifacts),
            )
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]


def read(root: str, metadata_uri: str | None = None) -> EndState:
    """Reads the state of a root whose last run has completed.

    Args:
      root: a path or a URI.
      metadata_uri: its ML Metadata, if that is not in the root.
    """
    paths = Paths(root)
    summary = storage.read_json(paths.summary)
    results = {name: summary[name] for name in RESULTS}
    if summary["decision"] == "unchanged":  # the baseline is the model itself, which was blessed by a killed run
        results["baseline"] = None
    # some object stores go on listing a name whose objects are deleted
    names = [name for name in storage.list_names(paths.serving) if name.isdecimal()]
    versions = [name for name in names if storage.list_files(os.path.join(paths.serving, name))]
    model_dir = node_cache.tree(os.path.join(paths.serving, push.newest_version(paths.serving) or ""))
    with open_metadata(metadata_uri or paths.metadata_uri) as handle:
        return EndState(
            results,
            hash_model(model_dir),
            count_artifacts(handle.store) | {"served versions": len(versions)},
        )


def hash_model(model_dir: str) -> dict[str, str]:
    """The SHA-256 of each variable and asset of a SavedModel, whose other files are written differently each time."""
    variables = tf.train.load_checkpoint(os.path.join(model_dir, tf.saved_model.VARIABLES_DIRECTORY, "variables"))
    hashes = {
        name: hashlib.sha256(variables.get_tensor(name).tobytes()).hexdigest()
        for name in variables.get_variable_to_shape_map()
        if name != OBJECT_GRAPH
    }
    assets = [name for name in storage.list_files(model_dir) if name.startswith(tf.saved_model.ASSETS_DIRECTORY)]
    return hashes | {name: storage.sha256(os.path.join(model_dir, name)) for name in assets}


def count_artifacts(store: MetadataStore) -> dict[str, int]:
    """The number of artifacts per type.

    Those that say that nothing was new are left out, and predictions without a file: a run that goes on after the
    blessing adds one per step. So are pushed models, which the served versions stand for: what was pushed and not
    recorded is found, not pushed again.
    """
    types = {each.id: each.name for each in store.get_artifact_types()}
    artifacts = [artifact for artifact in store.get_artifacts() if has_results(artifact)]
    names = [types[artifact.type_id] for artifact in artifacts if storage.list_files(artifact.uri)]
    return dict(collections.Counter(name for name in names if name != "PushedModel"))


def leftovers(root: str, metadata_uri: str | None = None) -> list[str]:
    """What killed runs have left in a root: running executions, and paths relative to it. Arguments as for `read`."""
    paths = Paths(root)
    with open_metadata(metadata_uri or paths.metadata_uri) as handle:
        running = [f"execution {execution.id} is running" for execution in running_executions(handle.store)]
        successful = {e.id for e in handle.store.get_executions() if e.last_known_state in SUCCESSFUL}
    left = {str(path) for path in _paths(root) if is_leftover(path, successful)}
    base = os.path.relpath(paths.feature_store, root)
    for name in storage.list_names(paths.feature_store):
        orphans = FeatureStore(os.path.join(paths.feature_store, name)).orphans(before=float("inf"))
        left.update(os.path.join(base, name, orphan) for orphan in orphans)
    return [*running, *sorted(left)]


def _paths(root: str) -> set[pathlib.PurePath]:
    """All files and directories below a root, relative to it; in a bucket, a directory is what has objects below it."""
    if storage.is_local(root):
        return {path.relative_to(root) for path in pathlib.Path(root).rglob("*")}
    files = [pathlib.PurePath(name) for name in storage.list_files(root)]
    return {path for file in files for path in (file, *file.parents)}


def is_leftover(path: pathlib.PurePath, successful: set[int]) -> bool:
    """Whether a path in a root belongs to what a killed run has left.

    Args:
      path: the path, relative to the root.
      successful: the executions that succeeded.
    """
    if path.name.endswith(push.SUFFIX):
        return True
    match path.parts:
        case ("artifacts", _, system, "stateful_working_dir", _) if system == SYSTEM:
            return True
        case ("artifacts", _, system, "executor_execution", number) if system == SYSTEM:
            return int(number) not in successful
        case ("artifacts", _, output, number) if output != SYSTEM:
            return int(number) not in successful
        case ("store", "checkpoints", _):
            return True
    return False
