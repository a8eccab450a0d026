"""Pictures -> shards of the feature store, in Beam."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.utils.shared import Shared

from components import images
from components.feature_extractor.store import FeatureStore
from components.features import load_backbone
from components.progress import Progress

SHARD = 128  # pictures: what a killed run can lose of each worker's work


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of the run: its path and the hash that the ingest took of its bytes."""

    path: str
    sha256: str


class PictureChanged(RuntimeError):
    """The file is not the one that was ingested."""


def read_checked(picture: Picture) -> bytes:
    """Reads a picture's bytes.

    Raises:
      PictureChanged: the file is gone or other than when it was ingested.
    """
    try:
        with tf.io.gfile.GFile(picture.path, "rb") as file:
            data = file.read()
    except tf.errors.NotFoundError:
        data = b""
    if hashlib.sha256(data).hexdigest() != picture.sha256:
        raise PictureChanged(f"{picture.path} has changed since it was ingested; run again")
    return data


class ExtractShard(beam.DoFn):
    """Computes the features of some pictures and commits them as one shard."""

    def __init__(self, store: FeatureStore, batch_size: int, total: int):
        self._store, self._batch_size, self._total = store, batch_size, total
        self._shared = Shared()

    def setup(self):
        # once a worker process, however many threads it has
        self._backbone = self._shared.acquire(lambda: _Backbone(load_backbone(self._store.directory)))
        self._progress = Progress("pictures", self._total)

    def process(self, pictures: list[Picture]) -> Iterable[None]:
        batches = []
        for start in range(0, len(pictures), self._batch_size):
            chosen = pictures[start : start + self._batch_size]
            encoded = [images.for_tensorflow(read_checked(picture)) for picture in chosen]
            batches.append(self._backbone.call(tf.constant(encoded)).numpy())  # float16 (batch, positions, channels)
            self._progress.advance(len(encoded))
        self._store.add([picture.sha256 for picture in pictures], np.concatenate(batches))
        return ()


@dataclasses.dataclass
class _Backbone:
    """A holder that `Shared` can keep a weak reference to."""

    call: Callable


def extract_missing(
    pictures: Mapping[str, Picture], store: FeatureStore, batch_size: int, make_pipeline: Callable[[], beam.Pipeline]
) -> int:
    """Computes what the store lacks.

    Args:
      pictures: image id -> picture, of the run.
      store: with its backbone prepared.
      batch_size: pictures a call of the backbone.
      make_pipeline: gives a new Beam pipeline.

    Returns:
      number of pictures that were computed.
    """
    held = store.index()
    missing = list({p.sha256: p for p in pictures.values() if p.sha256 not in held}.values())
    if not missing:
        return 0
    chunks = [missing[start : start + SHARD] for start in range(0, len(missing), SHARD)]
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(chunks, reshuffle=True)
            | "Extract" >> beam.ParDo(ExtractShard(store, batch_size, len(missing)))
        )
    return len(missing)


def shards_of(pictures: Mapping[str, Picture], store: FeatureStore) -> dict[str, dict[str, str]]:
    """Which shard holds which picture of the run: file name -> {image id: sha256}."""
    held = store.index()
    shards: dict[str, dict[str, str]] = {}
    for image_id in sorted(pictures):
        sha256 = pictures[image_id].sha256
        shards.setdefault(held[sha256], {})[image_id] = sha256
    return {shard: shards[shard] for shard in sorted(shards)}


def pictures_in(examples: Iterable[tuple[str, str, str]], data_root: str) -> dict[str, Picture]:
    """The pictures of a run: (image id, uri, sha256) of each -> image id -> picture."""
    return {image_id: Picture(os.path.join(data_root, uri), sha256) for image_id, uri, sha256 in examples}
