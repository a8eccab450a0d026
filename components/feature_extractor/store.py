"""The feature store: an append-only directory, in which a shard counts from the moment its index exists.

The layout is described in `components.shared.features`.
"""

import contextlib
import dataclasses
import os
import re
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from components.feature_extractor import export
from components.feature_extractor.backbones.registry import source_of
from components.feature_extractor.settings import FeatureExtractorSettings
from components.shared import node_cache, storage
from components.shared.backbone_description import BACKBONE, SAVED_MODEL, BackboneDescription
from components.shared.contents import describe, find_damage
from components.shared.progress import LOGGER
from components.shared.shard_format import Shard, count_records, index_of, read_index, read_indexes, write_shard
from components.shared.storage_entry import Entry

GENERATION = "generation"
SAVED_MODEL_FILE = "saved_model.pb"
# the files and directories of a store; a name that begins with a dot is still being written
INDEX = re.compile(r"shard-\w+\.json")
SHARD = re.compile(r"shard-\w+\.(tfrecord|json)")
PARTIAL = re.compile(rf"\.({SHARD.pattern}|{SAVED_MODEL.pattern}|{re.escape(BACKBONE)}|{GENERATION})(\.\w+)?\.partial")


@dataclasses.dataclass(frozen=True)
class FeatureStore:
    """One directory of a store: the features of one fingerprint.

    It is small and travels to Beam workers; all state is in the file system.
    """

    directory: str

    def generation(self) -> str:
        """Returns a random name that lasts until features are deleted.

        It is part of the extractor's cache key: after a directory was deleted, the manifests of earlier runs, which
        name shards that no longer exist, are not reused from the cache.
        """
        name = self._read_generation()
        if name is None:  # there is none yet, or it was damaged
            self._start_generation()
            name = self._read_generation()
        return name or ""

    def delete_damaged_shards(self) -> None:
        """Deletes shards that were truncated or lost since they were committed, and those whose index is damaged."""
        entries = self.entries()
        indexes = self._indexes(entries)
        truncated = [shard.file for shard in indexes.values() if shard and not self._is_whole(shard, entries)]
        damaged = [
            name.removesuffix(".json") + ".tfrecord"
            for name, shard in indexes.items()
            if shard is None and storage.exists(self._path(name))
        ]
        if truncated or damaged:
            number = len(truncated) + len(damaged)
            LOGGER.warning("%d damaged shards deleted in %s: their features are computed again", number, self.directory)
        self.remove([*truncated, *damaged])

    def restore_backbone(self, settings: FeatureExtractorSettings, check: Callable[[], None] = lambda: None) -> None:
        """Exports the backbone again if it is damaged although the directory has features of it.

        Manifests of these features are reused from the cache, and lead an Exporter to the backbone. For the arguments
        see `prepare_backbone`.
        """
        if self.index_files() and self.backbone() is None:
            LOGGER.warning("the backbone in %s is damaged or gone: it is exported again", self.directory)
            self.prepare_backbone(settings, check)

    def exists(self) -> bool:
        """Whether there is something of a feature store, be it what an interrupted deletion has left."""
        ours = (SHARD, SAVED_MODEL, PARTIAL, re.compile(f"{re.escape(BACKBONE)}|{GENERATION}"))
        return any(pattern.fullmatch(name) for name in storage.list_names(self.directory) for pattern in ours)

    def index(self) -> dict[str, str]:
        """Maps the sha256 of an image to the file name of the shard that holds its features."""
        return {sha256: shard.file for shard in self.shards() for sha256 in shard.sha256}

    def index_files(self) -> frozenset[str]:
        """The file names of all indexes."""
        return frozenset(filter(INDEX.fullmatch, storage.list_names(self.directory)))

    def entries(self) -> dict[str, Entry]:
        """All files, by their paths in the directory; those of a bucket by one paged listing."""
        return storage.list_entries(self.directory)

    def shards(self, entries: Mapping[str, Entry] | None = None) -> list[Shard]:
        """The committed shards that exist in full size, by name.

        Args:
          entries: what `entries` has returned, where the caller needs it, too.
        """
        entries = self.entries() if entries is None else entries
        return [shard for shard in self._indexes(entries).values() if shard and self._is_whole(shard, entries)]

    def verify(self, sha256: Collection[str]) -> list[str]:
        """Reads the shards that hold certain images, and deletes the corrupt ones.

        In a bucket it reads nothing: an object store verifies its objects itself, and whoever trains on the features
        verifies them as well (`Manifest.deleting_corrupt_shards`).

        Args:
          sha256: the images.

        Returns:
          file names of the deleted shards, whose features are to be computed again.
        """
        if not storage.is_local(self.directory):
            return []
        wanted = frozenset(sha256)
        used = [shard for shard in self.shards() if not wanted.isdisjoint(shard.sha256)]
        if self._are_intact(used):  # all together is several times as fast, and nearly always the answer
            return []
        corrupt = []
        for shard in used:
            if not self._are_intact([shard]):
                self.remove([shard.file])  # at once, before another run has computed it again
                corrupt.append(shard.file)
        return corrupt

    def remove(self, shards: Collection[str]) -> None:
        """Deletes shards and starts a new generation, so that no manifest that names them comes from the cache.

        Killed at any moment, it leaves neither a manifest in the cache nor an index that names a deleted shard.
        """
        if not shards:
            return
        self._start_generation()
        for name in (*map(index_of, shards), *shards):  # a shard without an index does not count
            storage.remove(self._path(name))
        self._start_generation()  # a run that has started meanwhile may have found them

    def add(self, sha256: Sequence[str], features: Iterable[np.ndarray]) -> None:
        """Commits one shard.

        Args:
          sha256: [n] hashes of the images' bytes.
          features: n of float16 [positions, channels], written as they come.
        """
        write_shard(self.directory, sha256, features)

    def prepare_backbone(
        self, settings: FeatureExtractorSettings, check: Callable[[], None] = lambda: None
    ) -> tuple[tuple[int, int], int]:
        """Exports the backbone into the directory, unless it exists.

        Concurrent runs do not disturb each other: each exports into a directory of its own, the first that is named
        serves all, and no run deletes one that was named.

        Args:
          settings: which backbone.
          check: it is called when a backbone was exported, before it is named, and raises where it must not be.

        Returns:
          ((rows, columns), channels) of the feature map.

        Raises:
          ValueError: there is no such backbone, or its weights cannot be used.
          FileNotFoundError: there is no such weights file.
        """
        backbone = self.backbone()
        if backbone is None:
            name = f"backbone-{uuid.uuid4().hex}"
            with self._new_directory(name) as directory:
                grid, channels = export.export(settings, directory)
                check()
            backbone = self.backbone()
            if backbone is not None:  # another run was faster
                storage.remove(self._path(name))
            else:
                backbone = BackboneDescription(
                    name=settings.backbone,
                    weights=settings.weights,
                    size=source_of(settings).input_size(settings),
                    saved_model=name,
                    grid=grid,
                    channels=channels,
                    files=describe(self._path(name)),
                )
                backbone.write(self.directory)
        return backbone.grid, backbone.channels

    def backbone(self) -> BackboneDescription | None:
        """The description of the exported backbone; None without one, or where a crash has left half of it."""
        try:
            description = BackboneDescription.read(self.directory)
        except (FileNotFoundError, ValueError):
            return None
        model_dir = self._path(description.saved_model)
        is_damaged = bool(description.files) and find_damage(model_dir, description.files) is not None
        return None if is_damaged or not storage.exists(os.path.join(model_dir, SAVED_MODEL_FILE)) else description

    def orphans(self, before: float) -> dict[str, int]:
        """Finds what killed runs and crashes have left: partial files, uncommitted shards, unnamed backbones.

        Args:
          before: seconds since 1970; what was modified later may still be in use.

        Returns:
          name in the directory -> bytes.
        """
        in_use = {name for shard in self.shards() for name in (shard.file, index_of(shard.file))}
        backbone = self.backbone()
        in_use |= {backbone.saved_model} if backbone else set()
        orphans = {}
        for name in storage.list_names(self.directory):
            is_ours = any(pattern.fullmatch(name) for pattern in (SHARD, SAVED_MODEL, PARTIAL))
            if not is_ours or name in in_use:
                continue
            entry = storage.total(self._path(name))  # None: another process is deleting it
            if entry is not None and entry.mtime < before:
                orphans[name] = entry.size
        return orphans

    def remove_orphans(self, names: Collection[str]) -> None:
        """Deletes files and directories of `orphans`."""
        for name in names:
            storage.remove(self._path(name))

    def _read_generation(self) -> str | None:
        try:
            name = storage.read_text(self._path(GENERATION))
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        return name if re.fullmatch("[0-9a-f]{32}", name) else None

    def _start_generation(self) -> None:
        storage.write_text(self._path(GENERATION), uuid.uuid4().hex)

    def _path(self, *names: str) -> str:
        return os.path.join(self.directory, *names)

    @contextlib.contextmanager
    def _new_directory(self, name: str) -> Iterator[str]:
        """Yields a directory on a disk for a SavedModel; if the block succeeds, its files are in the store.

        Args:
          name: the directory's name in the store.
        """
        with contextlib.ExitStack() as stack:
            is_local = storage.is_local(self.directory)
            parent = self.directory if is_local else stack.enter_context(node_cache.scratch())
            try:
                yield os.path.join(parent, name)
                if is_local:
                    storage.sync_tree(self._path(name))
                else:
                    storage.copy_tree(os.path.join(parent, name), self._path(name), last=[SAVED_MODEL_FILE])
            except BaseException:
                storage.remove(self._path(name))
                raise

    def _indexes(self, entries: Mapping[str, Entry]) -> dict[str, Shard | None]:
        """Reads all indexes of a listing, sorted by their names; None for one that is damaged or gone."""
        names = sorted(name for name in entries if INDEX.fullmatch(name))
        paths = [self._path(name) for name in names]
        by_path = {path: entries[name] for path, name in zip(paths, names, strict=True)}
        return dict(zip(names, read_indexes(paths, by_path), strict=True))

    def _is_whole(self, shard: Shard, entries: Mapping[str, Entry]) -> bool:
        """Whether a shard exists in full size, if need be by another look: a listing takes time."""
        listed = entries.get(shard.file)
        is_listed = listed is not None and listed.size == shard.bytes
        return is_listed or storage.size(self._path(shard.file)) == shard.bytes

    def _are_intact(self, shards: Sequence[Shard]) -> bool:
        """Whether all records of shards can be read."""
        paths = [self._path(shard.file) for shard in shards]
        return count_records(paths) == sum(len(shard.sha256) for shard in shards)


class CommitWatcher:
    """Follows what is committed to a store, by whichever run or worker; each index is read once."""

    def __init__(self, store: FeatureStore, index_files: Collection[str]):
        """Starts after some commits.

        Args:
          store: the store.
          index_files: `store.index_files()` of the moment to start from.
        """
        self._store, self._seen, self._sha256 = store, set(index_files), set[str]()
        self._lock = threading.Lock()

    def __call__(self) -> set[str]:
        """The sha256 of all images whose features were committed since; not to be modified."""
        with self._lock:
            for name in self._store.index_files() - self._seen:
                self._seen.add(name)
                if shard := read_index(os.path.join(self._store.directory, name)):
                    self._sha256.update(shard.sha256)
            return self._sha256
