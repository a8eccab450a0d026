"""What a feature store holds, which of it the last runs need, and the removal of the rest."""

import dataclasses
import itertools
import json
import os
import time
from collections.abc import Collection, Iterator, Sequence

import tensorflow as tf
from rich.table import Table
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata

from components.feature_extractor.store import FeatureStore, Shard
from components.features import BACKBONE, Manifest
from pipeline import database, lineage

EXTRACTOR = "FeatureExtractor"
MIN_AGE = 24 * 3600.0  # seconds


@dataclasses.dataclass(frozen=True)
class Holding:
    """The features of one fingerprint.

    Attributes:
      store: its directory.
      backbone: name, size and weights, for people.
      needed: shards that are named by a manifest of a run that counts, or are young.
      unneeded: the other shards.
    """

    store: FeatureStore
    backbone: str
    needed: tuple[Shard, ...]
    unneeded: tuple[Shard, ...]


def find(store_dir: str, roots: Sequence[str], last: int) -> list[Holding]:
    """What a store holds, and what of it the last runs need.

    Args:
      store_dir: the directory with a folder a fingerprint.
      roots: of the pipelines that use it, each with its ML Metadata.
      last: how many runs of each pipeline count.

    Raises:
      ValueError: a root has no ML Metadata, or it can't be used.
    """
    needed: set[str] = set()
    for root in roots:
        path = os.path.join(root, "metadata.sqlite")
        if not os.path.exists(path):
            raise ValueError(f"nothing has run in {root} yet")
        connection = metadata.sqlite_metadata_connection_config(path)
        database.prepare(connection)
        with metadata.Metadata(connection) as handle:
            needed |= needed_by(handle, last)
    return list(holdings(store_dir, needed, MIN_AGE))


def needed_by(handle: metadata.Metadata, last: int) -> set[str]:
    """Paths of the shards that the last runs use.

    Args:
      handle: ML Metadata.
      last: how many runs of each pipeline count, of those that have features.
    """
    paths: set[str] = set()
    for pipeline in handle.store.get_contexts_by_type(constants.PIPELINE_CONTEXT_TYPE_NAME):
        for run_id in itertools.islice(lineage.runs_with(handle, pipeline.name, [EXTRACTOR]), last):
            outputs = lineage.run_outputs(handle, pipeline.name, run_id, [EXTRACTOR])
            try:
                manifest = Manifest.load(outputs[EXTRACTOR]["features"].uri)
            except (tf.errors.NotFoundError, FileNotFoundError):
                continue  # its shards are gone already, or somebody has removed the artifact
            paths.update(os.path.join(manifest.directory, shard) for shard in manifest.shards)
    return paths


def holdings(store_dir: str, needed: Collection[str], min_age: float) -> Iterator[Holding]:
    """What a store holds.

    Args:
      store_dir: the directory with a folder a fingerprint.
      needed: of `needed_by`, for all roots that share the store.
      min_age: seconds; what is younger counts as needed, since a run that goes on may have made it.

    Yields:
      one fingerprint after the other.
    """
    young = time.time() - min_age
    for path in sorted(tf.io.gfile.glob(os.path.join(store_dir, "*", BACKBONE))):
        store = FeatureStore(os.path.dirname(path))
        with tf.io.gfile.GFile(path) as file:
            known = json.load(file)
        keep: list[Shard] = []
        rest: list[Shard] = []
        for shard in store.shards():
            shard_path = os.path.join(store.directory, shard.file)
            is_needed = shard_path in needed or tf.io.gfile.stat(shard_path).mtime_nsec / 1e9 > young
            (keep if is_needed else rest).append(shard)
        yield Holding(store, _describe(known), tuple(keep), tuple(rest))


def drop(found: Sequence[Holding]) -> int:
    """Removes what is not needed; the backbones stay.

    Returns:
      bytes that were freed.
    """
    for holding in found:
        holding.store.remove([shard.file for shard in holding.unneeded])
    return sum(_bytes(holding.unneeded) for holding in found)


def table(found: Sequence[Holding], last: int) -> Table:
    """The holdings for people."""
    shown = Table("backbone", "pictures", "shards", "size", f"not needed by the last {last} runs", "folder", box=None)
    for holding in found:
        every = holding.needed + holding.unneeded
        unneeded = f"{_pictures(holding.unneeded)} pictures, {_size(holding.unneeded)}"
        name = os.path.basename(holding.store.directory)
        shown.add_row(holding.backbone, str(_pictures(every)), str(len(every)), _size(every), unneeded, name)
    return shown


def _describe(known: dict) -> str:
    return f"{known['name']} {known['size']} px, {known['weights']}"


def _pictures(shards: Sequence[Shard]) -> int:
    return len(frozenset().union(*(shard.sha256 for shard in shards)))


def _bytes(shards: Sequence[Shard]) -> int:
    return sum(shard.bytes for shard in shards)


def _size(shards: Sequence[Shard]) -> str:
    return f"{_bytes(shards) / 2**20:.1f} MiB"
