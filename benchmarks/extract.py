"""The overhead of feature extraction over the bare network."""

import pathlib
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator

import tensorflow as tf
from tfx.types import Channel, standard_artifacts

from benchmarks.ingest import data_set, ingest
from benchmarks.measuring import HEIGHT, WIDTH, Result, in_turns, peak_memory, peak_of, seconds
from components.feature_extractor import executor
from components.feature_extractor.component import FeatureExtractor
from components.feature_extractor.settings import FeatureExtractorSettings
from components.shared.artifact_types import Features
from components.shared.features import Backbone
from components.shared.images import decoding
from components.shared.records import DATA_ROOT
from pipeline.pipeline import LOCAL_BEAM

NUM_IMAGES, NUM_NEW, BATCH_SIZE = 300, 30, 32
GFLOP = 11.4  # of InceptionV3 at 299 px, per image
MATRIX = 4096  # rows and columns
INCEPTION = FeatureExtractorSettings("InceptionV3", "random")


def extraction() -> Iterator[Result]:
    """The component over its bare backbone, that over matrix multiplications, and a tenth of new images."""
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        data = data_set(place / "data", NUM_IMAGES)
        examples = ingest(data, cache_dir=str(place / "inspections"), outputs=str(place / "all"))
        prepared = place / "prepared"
        setup = seconds(lambda: prepare(prepared))

        bare = _bare_loop(prepared, data)
        ours, theirs = in_turns(lambda: extract(examples, copy(prepared, place / "store")), bare, rounds=3)
        yield Result(
            "extract.component_over_bare",
            theirs / ours,
            "ratio",
            f"{NUM_IMAGES} JPEGs of {WIDTH}x{HEIGHT} from examples to a manifest, setup included, "
            f"{NUM_IMAGES / ours:.1f} images/s; the network on decoded batches {NUM_IMAGES / theirs:.1f}; exported in "
            f"{setup:.1f} s",
        )
        yield _over_matrix_multiplication(bare)

        run = _new_images(data, place)
        again = statistics.median(run() for _ in range(3))
        detail = f"{NUM_NEW} new images of {NUM_IMAGES} {again:.1f} s, all of them {ours:.1f} s"
        yield Result("extract.incremental_10pct", again / ours, "ratio", detail)


def memory() -> Iterator[Result]:
    """Peak memory of a process that extracts few and many images."""
    with tempfile.TemporaryDirectory() as directory:
        place, peaks = pathlib.Path(directory), {}
        prepare(place / "prepared")
        for count in (NUM_IMAGES, 3 * NUM_IMAGES):
            data = data_set(place / f"data-{count}", count)
            examples = ingest(data, outputs=str(place / f"examples-{count}"))
            store = copy(place / "prepared", place / f"store-{count}")
            peaks[count] = peak_of(peak_of_extracting, examples.uri, str(data), str(store))
    detail = ", ".join(f"{count} images {peak:.2f} GB" for count, peak in peaks.items())
    yield Result("extract.peak", max(peaks.values()), "GB", f"TensorFlow and Beam included: {detail}")


def peak_of_extracting(uri: str, data_root: str, store: str) -> float:
    """Extracts, and returns the peak memory of this process in GB."""
    examples = standard_artifacts.Examples()
    examples.uri = uri
    examples.set_string_custom_property(DATA_ROOT, data_root)
    extract(examples, pathlib.Path(store))
    return peak_memory()


def extract(
    examples: standard_artifacts.Examples, store: pathlib.Path, settings: FeatureExtractorSettings = INCEPTION
) -> None:
    """Runs the executor as TFX does."""
    with tempfile.TemporaryDirectory() as outputs:
        features = Features()
        features.uri = outputs
        component = FeatureExtractor(
            settings,
            examples=Channel(type=standard_artifacts.Examples),
            store_dir=str(store),
            backbone=settings.backbone,
            weights=settings.weights,
        )
        context = executor.Executor.Context(beam_pipeline_args=list(LOCAL_BEAM), tmp_dir=outputs, unique_id="1")
        executor.Executor(context).Do(
            {"examples": [examples]}, {"features": [features]}, dict(component.exec_properties)
        )


def _over_matrix_multiplication(bare: Callable[[], object]) -> Result:
    one, other = (tf.random.stateless_normal((MATRIX, MATRIX), seed=(0, seed)) for seed in range(2))
    multiply = tf.function(tf.matmul)
    rounds = round(NUM_IMAGES * GFLOP * 1e9 / (2 * MATRIX**3))

    def multiply_all() -> None:
        for _ in range(rounds):
            multiply(one, other).numpy()

    ours, theirs = in_turns(bare, multiply_all, rounds=3)
    network, matrices = NUM_IMAGES * GFLOP / ours, rounds * 2 * MATRIX**3 / theirs / 1e9
    detail = f"InceptionV3 {network:.0f} GFLOP/s, float32 multiplication of {MATRIX}x{MATRIX} {matrices:.0f} GFLOP/s"
    return Result("extract.bare_over_gemm", network / matrices, "ratio", detail)


def _bare_loop(store: pathlib.Path, data: pathlib.Path) -> Callable[[], object]:
    """Returns a function that calls the network on decoded batches."""
    backbone = Backbone(executor.store_of(INCEPTION, str(store)).directory)
    pixels = [
        decoding.decode_and_resize(tf.constant(path.read_bytes()), backbone.size) for path in sorted(data.glob("*.jpg"))
    ]
    batches = [tf.stack(pixels[start : start + BATCH_SIZE]) for start in range(0, NUM_IMAGES, BATCH_SIZE)]
    return lambda: [backbone.from_pixels(batch).numpy() for batch in batches]


def _new_images(data: pathlib.Path, place: pathlib.Path) -> Callable[[], float]:
    """Returns a function that measures the component, in seconds, when the store lacks a tenth of the images."""
    everything = (data / "captions.token.txt").read_text()
    old_captions = "".join(line + "\n" for line in everything.splitlines() if int(line.partition(".")[0]) >= NUM_NEW)
    (data / "captions.token.txt").write_text(old_captions)
    old = ingest(data, cache_dir=str(place / "inspections"), outputs=str(place / "old"))
    (data / "captions.token.txt").write_text(everything)
    whole = ingest(data, cache_dir=str(place / "inspections"), outputs=str(place / "whole"))
    extract(old, copy(place / "prepared", place / "most"))

    def again() -> float:
        store = copy(place / "most", place / "again")
        return seconds(lambda: extract(whole, store))

    return again


def prepare(store: pathlib.Path, settings: FeatureExtractorSettings = INCEPTION) -> pathlib.Path:
    """Exports the backbone into a store."""
    executor.store_of(settings, str(store)).prepare_backbone(settings)
    return store


def copy(store: pathlib.Path, to: pathlib.Path) -> pathlib.Path:
    """Copies a store, replacing what is there."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(store, to)
    return to
