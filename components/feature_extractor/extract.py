"""From images to shards of the feature store, in Beam."""

import collections
import concurrent.futures
import logging
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.metrics.metric import MetricResults, Metrics, MetricsFilter
from apache_beam.utils.shared import Shared

from components.feature_extractor.identity import FEATURE_VERSION
from components.feature_extractor.store import CommitWatcher, FeatureStore
from components.shared import records
from components.shared.code_identity import CodeChangedError
from components.shared.features import Backbone, MissingFeaturesError
from components.shared.images import inspection
from components.shared.images.containers import reading_order
from components.shared.images.ingested import IngestedImage, read_verified
from components.shared.progress import Progress, polled

MIN_SHARD_IMAGES, MAX_SHARD_IMAGES = 4, 512
SMALL_RUN_SHARDS, LARGE_RUN_SHARDS = 25, 80  # of a small run, and of one whose shards are several batches
CONCURRENT_SHARDS = 2  # per worker process: one is decoded or written while the network computes the other
LOGGER = logging.getLogger(__name__)


class NonFiniteFeatureError(FloatingPointError):
    """The backbone computes a feature that is infinite or not a number."""


class ExtractShards(beam.DoFn):
    """Computes the features of some images and commits them as one shard."""

    def __init__(self, store: FeatureStore, batch_size: int, index_files: frozenset[str]):
        """Initializes the function.

        Args:
          store: the store, with its backbone.
          batch_size: number of images per call of the backbone.
          index_files: `store.index_files()` from before it was decided what to compute.
        """
        self._store, self._batch_size, self._index_files = store, batch_size, index_files
        self._feature_version = FEATURE_VERSION
        self._shared = Shared()
        self._num_computed = Metrics.counter(ExtractShards, records.COMPUTED)

    def setup(self):
        if self._feature_version != FEATURE_VERSION:  # a worker of its own imports the code anew
            raise CodeChangedError("the code of the features was edited while this step runs; run again")
        # once per worker process, however many threads it has
        self._backbone = self._shared.acquire(lambda: Backbone(self._store.directory))
        self._committed = CommitWatcher(self._store, self._index_files)
        self._pool = concurrent.futures.ThreadPoolExecutor(CONCURRENT_SHARDS)

    def start_bundle(self):
        self._pending: collections.deque[concurrent.futures.Future] = collections.deque()

    def process(self, images: list[IngestedImage]) -> None:
        self._pending.append(self._pool.submit(self._extract, images))
        if len(self._pending) > CONCURRENT_SHARDS:
            self._count(self._pending.popleft())

    def finish_bundle(self):
        while self._pending:
            self._count(self._pending.popleft())

    def teardown(self):
        self._pool.shutdown(cancel_futures=True)

    def _count(self, extraction: concurrent.futures.Future) -> None:
        self._num_computed.inc(extraction.result())  # here: Beam knows this thread

    def _extract(self, images: list[IngestedImage]) -> int:
        """Commits what nobody else has committed meanwhile, and returns the number of images."""
        committed = self._committed()  # by another run, or by a worker that was lost before it could report
        missing = [image for image in images if image.sha256 not in committed]
        if missing:
            self._store.add([image.sha256 for image in missing], self._features(missing))
        return len(missing)

    def _features(self, images: list[IngestedImage]) -> Iterator[np.ndarray]:
        """Yields float16 [positions, channels] per image."""
        for start in range(0, len(images), self._batch_size):
            batch = images[start : start + self._batch_size]
            encoded = [inspection.to_tf_decodable(data) for data in read_verified(batch)]
            features = self._backbone(tf.constant(encoded)).numpy()
            _check_finite(batch, features)
            yield from features


def _check_finite(images: Sequence[IngestedImage], features: np.ndarray) -> None:
    """Refuses features that no model can learn from or caption.

    Args:
      images: B images.
      features: their features, float16 [B, positions, channels].

    Raises:
      NonFiniteFeatureError: a feature is infinite, or too large for float16, or not a number.
    """
    is_finite = np.isfinite(features).all(axis=(1, 2))
    paths = [image.path for image, is_valid in zip(images, is_finite, strict=True) if not is_valid]
    if paths:
        raise NonFiniteFeatureError(
            f"{', '.join(paths)}: the backbone computes features that are not finite; remove these images, or choose "
            "another feature_extractor.backbone or feature_extractor.weights"
        )


def extract_missing(
    images: Mapping[str, IngestedImage],
    store: FeatureStore,
    batch_size: int,
    make_pipeline: Callable[[], beam.Pipeline],
) -> int:
    """Computes the features that the store lacks.

    Args:
      images: image ID -> image, of the run.
      store: the store with its backbone prepared; its shards of these images are read to the end and verified.
      batch_size: number of images per call of the backbone.
      make_pipeline: a function that returns a new Beam pipeline.

    Returns:
      number of images that were computed: those that the store lacked, unless another run was faster.

    Raises:
      ImageChangedError, UnreadableImageError, StorageError: an image is not what was ingested, or cannot be read.
    """
    by_sha256 = {image.sha256: image for image in images.values()}
    for shard in store.verify(by_sha256):
        LOGGER.warning("corrupt shard deleted: %s in %s; its features are computed again", shard, store.directory)
    index_files = store.index_files()  # first: what is committed in between may be read twice, but is not missed
    index = store.index()
    missing = sorted(
        (image for sha256, image in by_sha256.items() if sha256 not in index),
        key=lambda image: reading_order(image.path),  # so that a shard's images are neighbors in their container
    )
    if not missing:
        return 0
    size = shard_size(len(missing), batch_size)
    chunks = [missing[start : start + size] for start in range(0, len(missing), size)]
    random.shuffle(chunks)  # concurrent runs then share the work: each finds what the other has done
    committed, missing_sha256 = CommitWatcher(store, index_files), {image.sha256 for image in missing}
    progress = Progress("images", len(missing))
    with polled(progress, lambda: len(missing_sha256 & committed()), store.directory), make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(chunks, reshuffle=True)
            | "Extract" >> beam.ParDo(ExtractShards(store, batch_size, index_files))
        )
    counters = pipeline.result.metrics().query(MetricsFilter().with_name(records.COMPUTED))[MetricResults.COUNTERS]
    return sum(counter.result for counter in counters)


def shard_size(num_images: int, batch_size: int) -> int:
    """Chooses the number of images per shard: whole batches, but so few that an interruption loses little.

    A run that is killed loses CONCURRENT_SHARDS shards per worker: of a small run less than a tenth.

    >>> [shard_size(num_images, 16) for num_images in (50, 300, 1000, 8000, 100_000)]
    [4, 12, 16, 100, 512]
    """
    size = max(min(num_images // SMALL_RUN_SHARDS, batch_size), num_images // LARGE_RUN_SHARDS)
    return min(max(size, MIN_SHARD_IMAGES), MAX_SHARD_IMAGES)


def shards_of(images: Mapping[str, IngestedImage], store: FeatureStore) -> dict[str, dict[str, str]]:
    """Finds the shards that hold the images of the run: file name -> {image ID: sha256}.

    Raises:
      MissingFeaturesError: the store lacks some.
    """
    index = store.index()
    shards: dict[str, dict[str, str]] = {}
    for image_id in sorted(images):
        sha256 = images[image_id].sha256
        if sha256 not in index:
            raise MissingFeaturesError(
                f"{store.directory}: the features of {image_id} were deleted during this run; run again"
            )
        shards.setdefault(index[sha256], {})[image_id] = sha256
    return {shard: shards[shard] for shard in sorted(shards)}


def images_by_id(examples: Iterable[tuple[str, str, str]], data_root: str) -> dict[str, IngestedImage]:
    """Maps (image ID, uri, sha256) per image to image ID -> image."""
    return {image_id: IngestedImage(os.path.join(data_root, uri), sha256) for image_id, uri, sha256 in examples}
