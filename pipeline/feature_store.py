"""What a feature store holds, which of it the last runs need, and the removal of the rest."""

import dataclasses
import itertools
import json
import math
import os
import time
from collections.abc import Iterator, Sequence

import tensorflow as tf
from ml_metadata.proto import metadata_store_pb2
from rich.table import Table
from tfx.dsl.compiler import compiler_utils, constants
from tfx.orchestration import metadata

from components import records
from components.feature_extractor.store import IDENTITY, FeatureStore, Shard, size_and_time
from components.features import BACKBONE, MANIFEST
from pipeline import database, lineage

EXTRACTOR = "FeatureExtractor"
MIN_AGE = 24 * 3600.0  # seconds
# a run goes on while a step of it runs, which one that was killed says for ever, and for the moment between two steps
LONGEST_STEP, BETWEEN_STEPS = 7 * 24 * 3600.0, 10.0  # seconds


@dataclasses.dataclass(frozen=True)
class Need:
    """What runs need of a store.

    Attributes:
      shards: (fingerprint, file name) of what their manifests name; not paths, since a root may have another one today.
      pictures: sha256 of the pictures of extractions that go on, which have no manifest yet.
    """

    shards: frozenset[tuple[str, str]] = frozenset()
    pictures: frozenset[str] = frozenset()

    def __or__(self, other: "Need") -> "Need":
        return Need(self.shards | other.shards, self.pictures | other.pictures)

    def covers(self, fingerprint: str, shard: Shard) -> bool:
        """Whether a shard is needed."""
        return (fingerprint, shard.file) in self.shards or not shard.sha256.isdisjoint(self.pictures)

    def uses(self, fingerprint: str) -> bool:
        """Whether a backbone is needed: a Trainer exports it with its model, an extraction of now may load any."""
        return bool(self.pictures) or any(of == fingerprint for of, _ in self.shards)


@dataclasses.dataclass(frozen=True)
class Holding:
    """The features of one fingerprint.

    Attributes:
      store: its directory.
      backbone: name, size and weights, for people.
      model: bytes of the exported backbone.
      needed: shards that a run that counts needs, or that are young.
      unneeded: the other shards.
      leftovers: of killed runs, and the backbone that nothing needs: file or directory -> bytes.
    """

    store: FeatureStore
    backbone: str
    model: int
    needed: tuple[Shard, ...]
    unneeded: tuple[Shard, ...]
    leftovers: dict[str, int]

    @property
    def freed(self) -> int:
        """Bytes that can be had."""
        return _bytes(self.unneeded) + sum(self.leftovers.values())


def find(store_dir: str, roots: Sequence[str], last: int) -> list[Holding]:
    """What a store holds, and what of it the last runs need.

    Args:
      store_dir: the directory with a folder a fingerprint.
      roots: of the pipelines that use it, each with its ML Metadata.
      last: how many runs of each pipeline count.

    Raises:
      ValueError: a root has no ML Metadata, or it can't be used, or what its runs need can't be told.
    """
    if last < 0:
        raise ValueError(f"--last {last}: a number of runs is wanted")
    needed = Need()
    for root in roots:
        path = os.path.join(root, "metadata.sqlite")
        if not os.path.exists(path):
            raise ValueError(f"nothing has run in {root} yet")
        connection = metadata.sqlite_metadata_connection_config(path)
        database.prepare(connection)
        with metadata.Metadata(connection) as handle:
            needed |= needed_by(handle, last, time.time())
    return list(holdings(store_dir, needed, MIN_AGE))


def needed_by(handle: metadata.Metadata, last: int, now: float) -> Need:
    """What the last runs, and those that go on, use.

    Args:
      handle: ML Metadata.
      last: how many runs of each pipeline count, of those that have features.
      now: seconds since 1970.

    Raises:
      ValueError: no manifest of a pipeline's runs is where ML Metadata says.
    """
    needed = Need()
    for pipeline in handle.store.get_contexts_by_type(constants.PIPELINE_CONTEXT_TYPE_NAME):
        ended = itertools.islice(lineage.runs_with(handle, pipeline.name, [EXTRACTOR]), last)
        features = []
        for run_id in sorted({*ended, *_runs_now(handle, pipeline, now)}):
            outputs = lineage.run_outputs(handle, pipeline.name, run_id, [EXTRACTOR])
            features += [outputs[EXTRACTOR]["features"].uri] if EXTRACTOR in outputs else []
        named = [shards for shards in map(_shards_of, features) if shards is not None]
        if features and not named:  # one alone somebody may have removed
            raise ValueError(f"none of the features artifacts of {pipeline.name} is there, as {features[-1]}: moved?")
        needed |= Need(frozenset().union(*named), _extracted_now(handle, pipeline, now))
    return needed


def holdings(store_dir: str, needed: Need, min_age: float) -> Iterator[Holding]:
    """What a store holds.

    Args:
      store_dir: the directory with a folder a fingerprint.
      needed: of `needed_by`, for all roots that share the store.
      min_age: seconds; what is younger counts as needed, since a run that goes on may have made it.

    Yields:
      one fingerprint after the other.
    """
    young = time.time() - min_age
    marks = [path for name in (BACKBONE, IDENTITY) for path in tf.io.gfile.glob(os.path.join(store_dir, "*", name))]
    for store in map(FeatureStore, sorted(set(map(os.path.dirname, marks)))):
        fingerprint = os.path.basename(store.directory)
        keep: list[Shard] = []
        rest: list[Shard] = []
        for shard in store.shards():
            try:
                written = tf.io.gfile.stat(os.path.join(store.directory, shard.file)).mtime_nsec / 1e9
            except tf.errors.NotFoundError:
                continue  # another has just removed it
            (keep if needed.covers(fingerprint, shard) or written > young else rest).append(shard)
        leftovers, known = store.leftovers(young), store.backbone()
        model, exported = size_and_time(os.path.join(store.directory, known["saved_model"])) if known else (0, math.inf)
        is_needed = keep or exported > young or needed.uses(fingerprint)
        # where young files are left over, a run is writing
        if known and not is_needed and store.leftovers(math.inf) == leftovers:
            # in this order; without the identity, no run that still found the backbone is answered from the cache
            leftovers |= {BACKBONE: 0, known["saved_model"]: model, IDENTITY: 0}
        yield Holding(store, _describe(known), model, tuple(keep), tuple(rest), leftovers)


def drop(found: Sequence[Holding]) -> int:
    """Removes what is not needed. A backbone that is removed is exported again by the next run that wants it.

    Returns:
      bytes that were freed.
    """
    for holding in found:
        # first, for it renews the identity: no cached manifest then leads a Trainer to a backbone that is gone
        holding.store.remove([shard.file for shard in holding.unneeded])
        holding.store.clear(holding.leftovers)
    return sum(holding.freed for holding in found)


def table(found: Sequence[Holding], last: int) -> Table:
    """The holdings for people."""
    shown = Table("backbone", "pictures", "shards", "size", f"not needed by the last {last} runs", "folder", box=None)
    for holding in found:
        every = holding.needed + holding.unneeded
        unneeded = f"{_pictures(holding.unneeded)} pictures, {_size(holding.freed)}"
        name, size = os.path.basename(holding.store.directory), _bytes(every) + holding.model
        shown.add_row(holding.backbone, str(_pictures(every)), str(len(every)), _size(size), unneeded, name)
    return shown


def _shards_of(uri: str) -> frozenset[tuple[str, str]] | None:
    """(fingerprint, file name) of the shards that a manifest names, also of those that are gone; None without one."""
    try:
        with tf.io.gfile.GFile(os.path.join(uri, MANIFEST)) as file:
            manifest = json.load(file)
    except tf.errors.NotFoundError:
        return None
    return frozenset((manifest["fingerprint"], shard) for shard in manifest["shards"])


def _runs_now(handle: metadata.Metadata, pipeline: metadata_store_pb2.Context, now: float) -> Iterator[str]:
    """The runs of a pipeline that seem to go on."""
    for run in handle.store.get_children_contexts_by_context(pipeline.id):
        executions = handle.store.get_executions_by_context(run.id)
        ended = max((each.last_update_time_since_epoch / 1e3 for each in executions), default=0.0)
        if ended > now - BETWEEN_STEPS or any(_is_running(each, now) for each in executions):
            yield run.name


def _extracted_now(handle: metadata.Metadata, pipeline: metadata_store_pb2.Context, now: float) -> frozenset[str]:
    """sha256 of the pictures of the extractions that go on."""
    name = compiler_utils.node_context_name(pipeline.name, EXTRACTOR)
    node = handle.store.get_context_by_type_and_name(constants.NODE_CONTEXT_TYPE_NAME, name)
    executions = handle.store.get_executions_by_context(node.id) if node else []
    running = [execution.id for execution in executions if _is_running(execution, now)]
    events = handle.store.get_events_by_execution_ids(running) if running else []
    inputs = [event.artifact_id for event in events if event.type == metadata_store_pb2.Event.INPUT]
    examples = handle.store.get_artifacts_by_id(inputs) if inputs else []
    files = [file for each in examples for file in tf.io.gfile.glob(os.path.join(each.uri, "Split-*", "*"))]
    batches = records.read_examples(files, {records.SHA256: records.EXAMPLE_SPEC[records.SHA256]})
    return frozenset(sha256.decode() for batch in batches for sha256 in batch[records.SHA256].numpy())


def _is_running(execution: metadata_store_pb2.Execution, now: float) -> bool:
    started = execution.create_time_since_epoch / 1e3
    return execution.last_known_state == metadata_store_pb2.Execution.RUNNING and started > now - LONGEST_STEP


def _describe(known: dict | None) -> str:
    return f"{known['name']} {known['size']} px, {known['weights']}" if known else "none yet"


def _pictures(shards: Sequence[Shard]) -> int:
    return len(frozenset().union(*(shard.sha256 for shard in shards)))


def _bytes(shards: Sequence[Shard]) -> int:
    return sum(shard.bytes for shard in shards)


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
