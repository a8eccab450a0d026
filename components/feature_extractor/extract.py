"""Pictures -> shards of the feature store, in Beam."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import logging
import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Set

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.metrics.metric import MetricResults, Metrics, MetricsFilter
from apache_beam.utils.shared import Shared

from components import images, records
from components.feature_extractor.store import FeatureStore, News
from components.features import Backbone
from components.progress import Progress

SMALLEST_SHARD, LARGEST_SHARD = 4, 512  # pictures
FEW_SHARDS, MANY_SHARDS = 25, 80  # of a small run, and of one whose shards are whole batches
CONCURRENT = 2  # shards a worker process computes at a time: one is decoded or written while the other is multiplied
POLL_SECONDS = 1.0  # between two looks at what is committed
LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of the run: its path and the hash that the ingest took of its bytes."""

    path: str
    sha256: str


class PictureChanged(RuntimeError):
    """The file is not the one that was ingested."""


class FeaturesGone(RuntimeError):
    """Somebody has removed shards that a run had found, or committed."""


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


class ExtractShards(beam.DoFn):
    """Computes the features of some pictures and commits them as one shard."""

    def __init__(self, store: FeatureStore, batch_size: int, known: frozenset[str]):
        self._store, self._batch_size, self._known = store, batch_size, known
        self._shared = Shared()
        self._computed = Metrics.counter(ExtractShards, records.COMPUTED)

    def setup(self):
        # once a worker process, however many threads it has
        self._backbone = self._shared.acquire(lambda: Backbone(self._store.directory))
        self._committed = News(self._store, self._known)
        self._pool = concurrent.futures.ThreadPoolExecutor(CONCURRENT)

    def start_bundle(self):
        self._pending: collections.deque[concurrent.futures.Future] = collections.deque()

    def process(self, pictures: list[Picture]) -> None:
        self._pending.append(self._pool.submit(self._extract, pictures))
        if len(self._pending) > CONCURRENT:
            self._count(self._pending.popleft())

    def finish_bundle(self):
        while self._pending:
            self._count(self._pending.popleft())

    def teardown(self):
        self._pool.shutdown(cancel_futures=True)

    def _count(self, extracted: concurrent.futures.Future) -> None:
        self._computed.inc(extracted.result())  # here: Beam knows this thread

    def _extract(self, pictures: list[Picture]) -> int:
        """Commits what nobody else has committed meanwhile; returns how many pictures that were."""
        committed = self._committed()  # by another run, or by a worker that was lost before it could tell
        missing = [picture for picture in pictures if picture.sha256 not in committed]
        if missing:
            self._store.add([picture.sha256 for picture in missing], self._features(missing))
        return len(missing)

    def _features(self, pictures: list[Picture]) -> Iterator[np.ndarray]:
        """Float16 [positions, channels] of each picture."""
        for start in range(0, len(pictures), self._batch_size):
            chosen = pictures[start : start + self._batch_size]
            encoded = [images.for_tensorflow(read_checked(picture)) for picture in chosen]
            yield from self._backbone(tf.constant(encoded)).numpy()


def extract_missing(
    pictures: Mapping[str, Picture], store: FeatureStore, batch_size: int, make_pipeline: Callable[[], beam.Pipeline]
) -> int:
    """Computes what the store lacks.

    Args:
      pictures: image id -> picture, of the run.
      store: with its backbone prepared; what it holds of the pictures is read to the end and checked.
      batch_size: pictures a call of the backbone.
      make_pipeline: gives a new Beam pipeline.

    Returns:
      number of pictures that were computed: those that the store lacked, unless another run was faster.
    """
    wanted = {picture.sha256: picture for picture in pictures.values()}
    for shard in store.check(wanted):
        LOGGER.warning("%s in %s was damaged; its features are computed again", shard, store.directory)
    known = store.names()  # first: what is committed in between may be looked at twice, but is not overlooked
    held = store.index()
    missing = [picture for sha256, picture in wanted.items() if sha256 not in held]
    if not missing:
        return 0
    size = shard_size(len(missing), batch_size)
    chunks = [missing[start : start + size] for start in range(0, len(missing), size)]
    random.shuffle(chunks)  # two runs at once then share the work: each finds what the other has done
    with _telling_progress(News(store, known), {picture.sha256 for picture in missing}), make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(chunks, reshuffle=True)
            | "Extract" >> beam.ParDo(ExtractShards(store, batch_size, known))
        )
    counters = pipeline.result.metrics().query(MetricsFilter().with_name(records.COMPUTED))[MetricResults.COUNTERS]
    return sum(counter.result for counter in counters)


@contextlib.contextmanager
def _telling_progress(committed: News, missing: Set[str]) -> Iterator[None]:
    """Tells how many pictures are committed: told here, since the workers may be on other machines.

    Args:
      committed: to their store.
      missing: sha256 of the pictures that are waited for.
    """
    progress, is_over = Progress("pictures", len(missing)), threading.Event()

    def watch() -> None:
        told, is_last = 0, False
        while not is_last:
            is_last = is_over.wait(POLL_SECONDS)
            done = len(missing & committed())
            if done > told:
                progress.advance(done - told)
                told = done

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def shard_size(pictures: int, batch_size: int) -> int:
    """Pictures a shard: as many as a batch, so that none is cut short, but few enough that little is lost.

    A run that is killed loses CONCURRENT shards a worker: of a small run less than a tenth.

    >>> [shard_size(pictures, 16) for pictures in (50, 300, 1000, 8000, 100_000)]
    [4, 12, 16, 100, 512]
    """
    size = max(min(pictures // FEW_SHARDS, batch_size), pictures // MANY_SHARDS)
    return min(max(size, SMALLEST_SHARD), LARGEST_SHARD)


def shards_of(pictures: Mapping[str, Picture], store: FeatureStore) -> dict[str, dict[str, str]]:
    """Which shard holds which picture of the run: file name -> {image id: sha256}.

    Raises:
      FeaturesGone: the store lacks some.
    """
    held = store.index()
    shards: dict[str, dict[str, str]] = {}
    for image_id in sorted(pictures):
        sha256 = pictures[image_id].sha256
        if sha256 not in held:
            raise FeaturesGone(f"{store.directory} has lost the features of {image_id} during this run; run again")
        shards.setdefault(held[sha256], {})[image_id] = sha256
    return {shard: shards[shard] for shard in sorted(shards)}


def pictures_in(examples: Iterable[tuple[str, str, str]], data_root: str) -> dict[str, Picture]:
    """The pictures of a run: (image id, uri, sha256) of each -> image id -> picture."""
    return {image_id: Picture(os.path.join(data_root, uri), sha256) for image_id, uri, sha256 in examples}
