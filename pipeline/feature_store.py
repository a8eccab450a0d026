"""What a feature store holds, which of it recent runs use, and the deletion of the rest."""

import dataclasses
import itertools
import math
import os
import time
from collections.abc import Iterator, Sequence

from ml_metadata.proto import metadata_store_pb2
from rich.table import Table
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata

from components.feature_extractor.store import GENERATION, FeatureStore
from components.shared import record_files, records, storage
from components.shared.backbone_description import BACKBONE, BackboneDescription
from components.shared.features import MANIFEST
from components.shared.mlmd.executions import inputs_and_outputs
from components.shared.mlmd.runs import is_running, node_executions, run_outputs, running_runs, runs_of, runs_with
from components.shared.shard_format import Shard
from pipeline.database import open_metadata
from pipeline.errors import UserError

EXTRACTOR = "FeatureExtractor"
MIN_AGE = 24 * 3600.0  # seconds; younger files are kept, since they may belong to a run in progress


class FeatureStoreError(UserError):
    """It is not known which features are in use; the message says why."""


@dataclasses.dataclass(frozen=True)
class Usage:
    """What runs use of a store.

    Attributes:
      shards: (fingerprint, file name) that their manifests name; not paths, since a root may be mounted elsewhere now.
      images: sha256 of the images of extractions in progress, which have no manifest yet.
    """

    shards: frozenset[tuple[str, str]] = frozenset()
    images: frozenset[str] = frozenset()

    def __or__(self, other: "Usage") -> "Usage":
        return Usage(self.shards | other.shards, self.images | other.images)

    def includes_shard(self, fingerprint: str, shard: Shard) -> bool:
        """Whether a shard is in use."""
        return (fingerprint, shard.file) in self.shards or not self.images.isdisjoint(shard.sha256)

    def includes_backbone(self, fingerprint: str) -> bool:
        """Whether a backbone is in use: an Exporter puts it into models, an extraction in progress may load any."""
        return bool(self.images) or any(of == fingerprint for of, _ in self.shards)


@dataclasses.dataclass(frozen=True)
class StoreUsage:
    """The features of one fingerprint.

    Attributes:
      store: its directory.
      backbone: name, size and weights, for people.
      backbone_bytes: size of the exported backbone.
      used: the shards that recent runs use, or that are young.
      unused: the other shards.
      orphans: what killed runs have left behind, and a backbone that nothing uses: file or directory -> bytes.
    """

    store: FeatureStore
    backbone: str
    backbone_bytes: int
    used: tuple[Shard, ...]
    unused: tuple[Shard, ...]
    orphans: dict[str, int]

    @property
    def reclaimable_bytes(self) -> int:
        """Bytes that deleting all unused files frees."""
        return _bytes(self.unused) + sum(self.orphans.values())


def read_usage(store_dir: str, metadata_uris: Sequence[str], keep_last: int) -> list[StoreUsage]:
    """Reads what a store holds, and what of it recent runs use.

    Args:
      store_dir: the directory with a folder per fingerprint.
      metadata_uris: the ML Metadata of the pipelines that share the store.
      keep_last: number of most recent runs of each pipeline whose features are in use.

    Raises:
      UserError: nothing is recorded in one of them, or it is not known what its runs use.
    """
    if keep_last < 0:
        raise FeatureStoreError(f"--keep-last {keep_last}: must be 0 or more")
    usage = Usage()
    for uri in metadata_uris:
        with open_metadata(uri) as handle:
            usage |= used_by_runs(handle, keep_last, time.time())
    return list(usage_of(store_dir, usage, MIN_AGE))


def used_by_runs(handle: metadata.Metadata, keep_last: int, now: float) -> Usage:
    """What the most recent runs, and those in progress, use.

    Args:
      handle: ML Metadata.
      keep_last: number of most recent runs of each pipeline, of those that have features.
      now: the time, in seconds since 1970.

    Raises:
      FeatureStoreError: the last manifest of a pipeline's runs is damaged, or none is where ML Metadata says.
    """
    usage = Usage()
    for pipeline in handle.store.get_contexts_by_type(constants.PIPELINE_CONTEXT_TYPE_NAME):
        recent = itertools.islice(runs_with(handle, pipeline.name, [EXTRACTOR]), keep_last)
        in_use = {*recent, *running_runs(handle.store, pipeline.name, now)}
        uris = []
        for run_id in (run.name for run in runs_of(handle.store, pipeline.name) if run.name in in_use):
            outputs = run_outputs(handle, pipeline.name, run_id, [EXTRACTOR])
            uris += [outputs[EXTRACTOR]["features"].uri] if EXTRACTOR in outputs else []
        shards = _shards_of_manifests(uris, pipeline.name)
        images = _images_in_extraction(handle, pipeline, now)
        usage |= Usage(shards, images)
    return usage


def usage_of(store_dir: str, usage: Usage, min_age: float) -> Iterator[StoreUsage]:
    """What a store holds.

    Args:
      store_dir: the directory with a folder per fingerprint.
      usage: the usage of `used_by_runs`, for all roots that share the store.
      min_age: age in seconds; younger files count as used, since they may belong to a run in progress.

    Yields:
      the usage of one fingerprint after the other.
    """
    young = time.time() - min_age
    for fingerprint in storage.list_names(store_dir):
        store = FeatureStore(os.path.join(store_dir, fingerprint))
        if not store.exists():
            continue
        used: list[Shard] = []
        unused: list[Shard] = []
        entries = store.entries()
        for shard in store.shards(entries):
            file = entries.get(shard.file)
            if file is None:
                continue  # it has just been added
            (used if usage.includes_shard(fingerprint, shard) or file.mtime > young else unused).append(shard)
        orphans, backbone = store.orphans(young), store.backbone()
        exported = storage.total(os.path.join(store.directory, backbone.saved_model)) if backbone else None
        size = exported.size if exported else 0
        newest = exported or storage.total(os.path.join(store.directory, GENERATION))
        is_young = newest is not None and newest.mtime > young
        # where young files are left over, a run is writing
        if not (used or is_young or usage.includes_backbone(fingerprint)) and store.orphans(math.inf) == orphans:
            # in this order; without the generation, no run that still saw the backbone reuses cached outputs
            names = [BACKBONE, *([backbone.saved_model] if backbone else []), GENERATION]
            present = {name for name in names if storage.exists(os.path.join(store.directory, name))}
            present |= {GENERATION} if unused else set()  # their deletion starts a generation
            orphans |= {name: size if name.startswith("backbone-") else 0 for name in names if name in present}
        yield StoreUsage(store, _describe(backbone), size, tuple(used), tuple(unused), orphans)


def still_unused(usages: Sequence[StoreUsage], before: Sequence[StoreUsage]) -> list[StoreUsage]:
    """The usage now, of which only what was unused before counts as unused: that much was agreed to."""
    agreed = {path for path, _ in deletions(before)}

    def is_agreed(usage: StoreUsage, name: str) -> bool:
        return os.path.join(usage.store.directory, name) in agreed

    return [
        dataclasses.replace(
            usage,
            unused=tuple(shard for shard in usage.unused if is_agreed(usage, shard.file)),
            orphans={name: size for name, size in usage.orphans.items() if is_agreed(usage, name)},
        )
        for usage in usages
    ]


def prune(usages: Sequence[StoreUsage]) -> int:
    """Deletes what is not used. A deleted backbone is exported again by the next run that needs it.

    Returns:
      the bytes that were freed.
    """
    for usage in usages:
        # first, since it starts a new generation: no cached manifest then leads an Exporter to a backbone that is gone
        usage.store.remove([shard.file for shard in usage.unused])
        usage.store.remove_orphans(usage.orphans)
    return sum(usage.reclaimable_bytes for usage in usages)


def table(usages: Sequence[StoreUsage], keep_last: int) -> Table:
    """The usage for people."""
    rows = Table(
        "backbone", "images", "shards", "size", f"not used by the last {keep_last} runs", "directory", box=None
    )
    for usage in usages:
        shards = usage.used + usage.unused
        unused = f"{_num_images(usage.unused)} images, {format_size(usage.reclaimable_bytes)}"
        name, size = os.path.basename(usage.store.directory), _bytes(shards) + usage.backbone_bytes
        cells = (str(_num_images(shards)), str(len(shards)), format_size(size), unused, name)
        rows.add_row(usage.backbone, *cells)
    return rows


def deletions(usages: Sequence[StoreUsage]) -> Iterator[tuple[str, int]]:
    """Yields (path, bytes) of each file or directory that `prune` deletes; a shard stands for its index, too."""
    for usage in usages:
        sizes = {shard.file: shard.bytes for shard in usage.unused} | usage.orphans
        for name, size in sizes.items():
            yield os.path.join(usage.store.directory, name), size


def format_size(size: int) -> str:
    """A number of bytes for people.

    >>> format_size(3 * 2**19)
    '1.5 MiB'
    """
    return f"{size / 2**20:.1f} MiB"


def _shards_of_manifests(uris: Sequence[str], pipeline_name: str) -> frozenset[tuple[str, str]]:
    """(fingerprint, file name) of the shards that the manifests of a pipeline's runs name, be they gone.

    Args:
      uris: the features artifacts, the oldest run's first. A manifest may have been deleted on purpose; a damaged one
        is refused until a later run has an intact one, since it is then not reused from the cache, and uses nothing.
      pipeline_name: for the message.

    Raises:
      FeatureStoreError: the last manifest is damaged, or there is none.
    """
    shards: set[tuple[str, str]] = set()
    damaged, num_found = "", 0
    for path in (os.path.join(uri, MANIFEST) for uri in uris):
        try:
            manifest = storage.read_json(path)
            shards |= {(manifest["fingerprint"], shard) for shard in manifest["shards"]}
        except FileNotFoundError:
            continue
        except (ValueError, LookupError, TypeError):
            damaged = path
        else:
            damaged = ""
        num_found += 1
    if damaged:
        raise FeatureStoreError(f"{damaged} is damaged: run the pipeline again first, which writes a new manifest")
    if uris and not num_found:
        raise FeatureStoreError(
            f"the features artifacts of {pipeline_name} are gone, such as {uris[-1]}: was the root moved? Move it back"
        )
    return frozenset(shards)


def _images_in_extraction(
    handle: metadata.Metadata, pipeline: metadata_store_pb2.Context, now: float
) -> frozenset[str]:
    """sha256 of the images of the extractions in progress."""
    executions = node_executions(handle.store, pipeline.name, EXTRACTOR)
    inputs = [inputs_and_outputs(handle.store, each.id)[0] for each in executions if is_running(each, now)]
    examples = [artifact for artifacts in inputs for values in artifacts.values() for artifact in values]
    files = [os.path.join(each.uri, name) for each in examples for name in storage.list_files(each.uri)]
    files = [file for file in files if os.path.basename(os.path.dirname(file)).startswith("Split-")]
    batches = record_files.read_examples(files, {records.SHA256: record_files.EXAMPLE_SPEC[records.SHA256]})
    return frozenset(sha256.decode() for batch in batches for sha256 in batch[records.SHA256].numpy())


def _describe(backbone: BackboneDescription | None) -> str:
    return f"{backbone.name} {backbone.size} px, {backbone.weights}" if backbone else "none yet"


def _num_images(shards: Sequence[Shard]) -> int:
    return len(frozenset().union(*(shard.sha256 for shard in shards)))


def _bytes(shards: Sequence[Shard]) -> int:
    return sum(shard.bytes for shard in shards)
