"""Pictures, decoded once, and the memory of those that were decoded before."""

import concurrent.futures
import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf

from components import images
from components.atomic import write_text
from components.caption_ingest.files import PictureFile
from components.progress import Progress

MAX_THREADS = 8  # what they hold decoded together, `components.images` bounds
CHUNK = 512  # pictures that are remembered at a time
CALL = 16  # of them, those that a thread decodes in one call
CALL_BYTES = 8 * 2**20  # of their files, if there are several


@dataclasses.dataclass(frozen=True)
class Inspected:
    """What a picture was found to be: usable with its size, or with a fault (a `PictureFault` value)."""

    sha256: str
    width: int = 0
    height: int = 0
    fault: str = ""
    detail: str = ""


def inspect_files(data_dir: str, files: Sequence[PictureFile]) -> list[Inspected | None]:
    """Reads, hashes and decodes pictures; None for one that can't be read, which is not worth remembering."""
    read = {file: data for file in files if (data := _read(data_dir, file)) is not None}
    inspected = dict(zip(read, images.inspect_all(list(read.values())), strict=True))
    return [_inspected(file, read[file], inspected[file]) if file in read else None for file in files]


def _read(data_dir: str, file: PictureFile) -> bytes | None:
    if file.size > images.MAX_BYTES:
        return b""  # it is refused by its size, and not read at all
    try:
        with tf.io.gfile.GFile(os.path.join(data_dir, file.uri), "rb") as stream:
            return stream.read()
    except (OSError, tf.errors.OpError):
        return None


def _inspected(file: PictureFile, data: bytes, found: tuple[int, int] | images.PictureError) -> Inspected:
    if file.size > images.MAX_BYTES:
        return Inspected("", 0, 0, images.PictureFault.TOO_LARGE.value, f"{file.size} bytes")
    digest = hashlib.sha256(data).hexdigest()
    if isinstance(found, images.PictureError):
        return Inspected(digest, 0, 0, found.fault.value, str(found))
    return Inspected(digest, *found)


def split_by_size(files: Sequence[PictureFile]) -> list[list[PictureFile]]:
    """Parts files for calls that hold few of them, and few bytes, at a time."""
    calls: list[list[PictureFile]] = []
    held = 0
    for file in files:
        if not calls or len(calls[-1]) == CALL or held + file.size > CALL_BYTES:
            calls.append([])
            held = 0
        calls[-1].append(file)
        held += file.size
    return calls


class PictureMemory:
    """What was found out about pictures, in an append-only directory of JSON files: each picture is decoded once.

    A picture is known by its path, size and modification time.
    """

    def __init__(self, directory: str, data_dir: str):
        """Reads nothing yet.

        Args:
          directory: one for each version of the decoding code.
          data_dir: the directory that the uris are relative to.
        """
        self._directory, self._data_dir = directory, os.path.abspath(data_dir)
        self._known: dict[tuple[str, int, int], Inspected] = {}
        self._loaded: set[str] = set()  # files, which never change

    def __getstate__(self) -> dict[str, Any]:
        """What travels to Beam's workers, which only add."""
        return {**vars(self), "_known": {}, "_loaded": set()}

    def load(self) -> None:
        """Reads what all runs so far have added."""
        for path in sorted(set(tf.io.gfile.glob(os.path.join(self._directory, "*.json"))) - self._loaded):
            self._loaded.add(path)
            with tf.io.gfile.GFile(path) as stream:
                for name, size, mtime_ns, *inspected in json.load(stream):
                    self._known[name, size, mtime_ns] = Inspected(*inspected)

    def get(self, file: PictureFile) -> Inspected | None:
        """What is known of a file, None if nothing."""
        return self._known.get(self._key(file))

    def add(self, inspected: Sequence[tuple[PictureFile, Inspected]]) -> None:
        """Writes what was found out, for the next `load`; safe beside other writers."""
        rows = [[*self._key(file), *dataclasses.astuple(found)] for file, found in inspected]
        text = json.dumps(rows, ensure_ascii=False)
        # named by content: the same rows written twice are one file
        name = hashlib.sha256(text.encode()).hexdigest()[:24]
        write_text(os.path.join(self._directory, f"{name}.json"), text)

    def _key(self, file: PictureFile) -> tuple[str, int, int]:
        return os.path.join(self._data_dir, file.uri), file.size, file.mtime_ns


class InspectPictures(beam.DoFn):
    """Decodes chunks of pictures to their end and puts them into the memory."""

    def __init__(self, memory: PictureMemory, data_dir: str, total: int):
        self._memory, self._data_dir, self._total = memory, data_dir, total

    def setup(self):
        # TensorFlow's decoders release the interpreter lock; one thread more, for the time that the others read
        self._pool = concurrent.futures.ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), MAX_THREADS) + 1)
        self._progress = Progress("pictures decoded", self._total)

    def process(self, rows: list[tuple[str, int, int]]) -> Iterable[None]:
        chunk = [PictureFile(*row) for row in rows]
        calls = split_by_size(chunk)
        inspected = itertools.chain(*self._pool.map(lambda files: inspect_files(self._data_dir, files), calls))
        found = zip(chunk, inspected, strict=True)
        self._memory.add([(file, inspected) for file, inspected in found if inspected is not None])
        self._progress.advance(len(chunk))
        return ()

    def teardown(self):
        self._pool.shutdown()


def inspect_unknown(files: Sequence[PictureFile], memory: PictureMemory, data_dir: str, make_pipeline) -> None:
    """Decodes, in Beam, the pictures that the memory does not hold, and loads what was found.

    Args:
      files: all pictures of the run.
      memory: loaded; it is loaded again at the end.
      data_dir: the directory that the uris are relative to.
      make_pipeline: gives a new Beam pipeline.
    """
    unknown = [file for file in files if memory.get(file) is None]
    if not unknown:
        return
    # as tuples, for which Beam has a coder; anything else is pickled
    rows = [(file.uri, file.size, file.mtime_ns) for file in unknown]
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Chunks" >> beam.Create(chunks, reshuffle=True)
            | "Inspect" >> beam.ParDo(InspectPictures(memory, data_dir, len(unknown)))
        )
    memory.load()
