"""Inspects images in Beam, and remembers the results so that an image is not opened again."""

import concurrent.futures
import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any

import apache_beam as beam
from absl import logging

from components.caption_ingest.image_file import ImageFile
from components.caption_ingest.inspection import Inspection, inspect_images, size_fault
from components.shared import storage
from components.shared.batching import batched_by_size
from components.shared.code_identity import check_identity, code_identity
from components.shared.images import reading
from components.shared.images.containers import reading_order
from components.shared.object_store import StorageError
from components.shared.progress import Progress, polled

MAX_THREADS = 8  # `components.shared.images.inspection` bounds what they hold decoded at a time
CHUNK = 512  # images that are written to the cache at a time
BATCH = 16  # images of a chunk that a thread decodes in one call
BATCH_BYTES = 8 * 2**20  # size of their files, if there are several
Key = tuple[str, int, int | str]  # path or URI, size and version


class InspectionCache:
    """The inspections of all runs so far, in an append-only directory of JSON files.

    An image is identified by its path, size and version: the modification time in nanoseconds, or an ETag.

    Attributes:
      directory: the directory, or a prefix in a bucket.
    """

    def __init__(self, directory: str, data_dir: str):
        """Creates an empty cache; `load` reads it.

        Args:
          directory: directory of the cache, a different one for each version of the inspecting code.
          data_dir: the directory that the files' uris are relative to.
        """
        self.directory, self._data_dir = directory, storage.absolute(data_dir)
        self._inspections: dict[Key, Inspection] = {}
        self._loaded: set[str] = set()  # names of files, which never change

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the inspections behind when the cache travels to Beam's workers, which only add to it."""
        return {**vars(self), "_inspections": {}, "_loaded": set()}

    def load(self) -> Set[Key]:
        """Reads what has been added since the last call.

        A file that can't be read is skipped, and one that was damaged is deleted, with a warning: what they contain is
        inspected again.

        Returns:
          the keys of what has been added.

        Raises:
          StorageError: the bucket that the cache is in can't be read.
        """
        added: dict[Key, Inspection] = {}
        names = [
            name
            for name in storage.list_names(self.directory)
            if name not in self._loaded and not name.startswith(".") and name.endswith(".json")
        ]
        paths = [os.path.join(self.directory, name) for name in names]
        for file_name, path, content in zip(names, paths, storage.read_many(paths), strict=True):
            if isinstance(content, OSError):
                logging.warning("skipping the inspections in %s: %s", path, content)
                continue
            try:
                rows = json.loads(content)
                added |= {(uri, size, version): Inspection(*values) for uri, size, version, *values in rows}
            except (ValueError, TypeError) as error:  # empty, cut or zeros, as a crash of the machine leaves it
                logging.warning("the inspections in %s are damaged and deleted: %s", path, error)
                storage.remove(path)
            else:
                self._loaded.add(file_name)
        self._inspections |= added
        return added.keys()

    def get(self, file: ImageFile) -> Inspection | None:
        """Returns the inspection of a file; None if there is none."""
        return self._inspections.get(self.key(file))

    def add(self, inspections: Sequence[tuple[ImageFile, Inspection]]) -> None:
        """Writes inspections, which the next `load` reads; several processes may write at once."""
        rows = [[*self.key(file), *dataclasses.astuple(inspection)] for file, inspection in inspections]
        text = json.dumps(rows, ensure_ascii=False)
        # named by content: rows that a retried bundle writes again are one file
        name = hashlib.sha256(text.encode()).hexdigest()[:24]
        storage.write_text(os.path.join(self.directory, f"{name}.json"), text)

    def key(self, file: ImageFile) -> Key:
        """Returns what identifies a file in the cache."""
        return os.path.join(self._data_dir, file.uri), file.size, file.version


class InspectImages(beam.DoFn):
    """Inspects chunks of images and adds them to the cache."""

    def __init__(self, cache: InspectionCache, data_dir: str):
        self._cache, self._data_dir = cache, data_dir
        self._code = code_identity(inspect_images.__module__)

    def setup(self):
        check_identity(self._code, inspect_images.__module__)  # a worker of its own imports the code anew
        # TensorFlow's decoders release the interpreter lock; the additional thread reads while the others decode
        self._pool = concurrent.futures.ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), MAX_THREADS) + 1)

    def process(self, rows: list[tuple[str, int, int | str]]) -> Iterable[None]:
        chunk = [ImageFile(*row) for row in rows]
        batches = batched_by_size(chunk, lambda file: file.size, BATCH, BATCH_BYTES)
        inspections = itertools.chain(*self._pool.map(lambda files: inspect_batch(self._data_dir, files), batches))
        results = zip(chunk, inspections, strict=True)
        self._cache.add([(file, inspection) for file, inspection in results if inspection is not None])
        return ()

    def teardown(self):
        self._pool.shutdown()


def inspect_batch(data_dir: str, files: Sequence[ImageFile]) -> list[Inspection | None]:
    """Reads and inspects files.

    Returns:
      for each file its inspection; None if it can't be read, or is no longer the one that was listed.

    Raises:
      StorageError: the bucket can't be read: the files may all be there.
    """
    results = [size_fault(file.size) for file in files]
    paths = {index: os.path.join(data_dir, file.uri) for index, file in enumerate(files) if results[index] is None}
    contents = {
        index: data
        for (index, path), data in zip(paths.items(), reading.read_many(list(paths.values())), strict=True)
        if isinstance(data, bytes) and _is_as_listed(path, data, files[index])
    }
    for index, inspection in zip(contents, inspect_images(list(contents.values())), strict=True):
        results[index] = inspection
    return results


def _is_as_listed(path: str, data: bytes, file: ImageFile) -> bool:
    try:
        return reading.is_unchanged(path, data, file.size, file.version)
    except StorageError:
        raise
    except OSError:
        return False


def inspect_files(
    files: Sequence[ImageFile], cache_dir: str, data_dir: str, make_pipeline: Callable[[], beam.Pipeline]
) -> dict[str, Inspection]:
    """Inspects images, those that the cache does not contain in Beam.

    Args:
      files: the images.
      cache_dir: directory of the cache.
      data_dir: the directory that the files' uris are relative to.
      make_pipeline: creates a Beam pipeline.

    Returns:
      uri -> inspection; files that can't be read, or that change meanwhile, are missing.
    """
    cache = InspectionCache(cache_dir, data_dir)
    cache.load()
    inspect_uncached([file for file in files if cache.get(file) is None], cache, data_dir, make_pipeline)
    return {file.uri: inspection for file in files if (inspection := cache.get(file))}


def inspect_uncached(
    files: Sequence[ImageFile], cache: InspectionCache, data_dir: str, make_pipeline: Callable[[], beam.Pipeline]
) -> None:
    """Inspects images in Beam, adds the results to the cache and loads them."""
    if not files:
        return

    waiting = set(map(cache.key, files))

    def count_inspected() -> int:
        waiting.difference_update(cache.load())
        return len(files) - len(waiting)

    # each container in its order; as tuples, for which Beam has a coder; anything else is pickled
    rows = [(file.uri, file.size, file.version) for file in sorted(files, key=lambda file: reading_order(file.uri))]
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    # in this process: a worker knows nothing of what the others have done
    with polled(Progress("images decoded", len(files)), count_inspected, cache.directory), make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Chunks" >> beam.Create(chunks, reshuffle=True)
            | "Inspect" >> beam.ParDo(InspectImages(cache, data_dir))
        )
    cache.load()
