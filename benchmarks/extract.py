"""What the extraction costs beside the network's own arithmetic."""

import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

import tensorflow as tf
from tfx.types import Channel, standard_artifacts

from benchmarks.ingest import data_set, ingest
from benchmarks.measuring import Result, in_turns, peak_memory, seconds
from components import images
from components.feature_extractor import backbones, executor
from components.feature_extractor.component import FeatureExtractor
from components.feature_extractor.store import FeatureStore
from components.features import Backbone
from components.records import DATA_ROOT, Features
from pipeline.pipeline import LOCAL_BEAM

ROOT = pathlib.Path(__file__).parent.parent
PICTURES, NEW, BATCH = 300, 30, 32
GFLOP = 11.4  # of InceptionV3 at 299 px, a picture
MATRIX = 4096  # rows and columns
INCEPTION = backbones.BackboneSettings("InceptionV3", backbones.RANDOM)
PEAK = "import sys\nfrom benchmarks import extract\nprint(extract.peak_of_extracting(*sys.argv[1:]))"


def extraction() -> Iterator[Result]:
    """The component against its backbone in a loop, that loop against matrix products, and a tenth of new pictures."""
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        data = data_set(place / "data", PICTURES)
        examples = ingest(data, memory=str(place / "memory"), outputs=str(place / "all"))
        prepared = place / "prepared"
        set_up = seconds(lambda: FeatureStore(_folder(prepared)).prepare_backbone(INCEPTION))

        bare = _bare_loop(_folder(prepared), data)
        ours, theirs = in_turns(lambda: extract(examples, _copy(prepared, place / "store")), bare, rounds=3)
        yield Result(
            "extract.component_over_bare",
            theirs / ours,
            "ratio",
            f"{PICTURES} JPEGs of 500x375 from examples to a manifest {PICTURES / ours:.1f} pictures/s, with set-up; "
            f"the network on decoded batches {PICTURES / theirs:.1f}; exported in {set_up:.1f} s",
        )
        yield _over_matrix_products(bare)

        few = _new_pictures(data, place)
        again = statistics.median(few() for _ in range(3))
        detail = f"{NEW} new pictures of {PICTURES} {again:.1f} s, all of them {ours:.1f} s"
        yield Result("extract.incremental_10pct", again / ours, "ratio", detail)


def memory() -> Iterator[Result]:
    """The most memory of a process that extracts, with few and with many pictures."""
    with tempfile.TemporaryDirectory() as directory:
        place, peaks = pathlib.Path(directory), {}
        FeatureStore(_folder(place / "prepared")).prepare_backbone(INCEPTION)
        for count in (PICTURES, 3 * PICTURES):
            data = data_set(place / f"data-{count}", count)
            examples = ingest(data, fresh=True, outputs=str(place / f"examples-{count}"))
            store = _copy(place / "prepared", place / f"store-{count}")
            command = [sys.executable, "-c", PEAK, examples.uri, str(data), str(store)]
            output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
            peaks[count] = float(output.split()[-1])
    detail = ", ".join(f"{count} pictures {peak:.2f} GB" for count, peak in peaks.items())
    yield Result("extract.peak", max(peaks.values()), "GB", f"TensorFlow and Beam included: {detail}")


def peak_of_extracting(uri: str, data_root: str, store: str) -> float:
    """Extracts, and tells the most memory of this process so far, in GB."""
    examples = standard_artifacts.Examples()
    examples.uri = uri
    examples.set_string_custom_property(DATA_ROOT, data_root)
    extract(examples, pathlib.Path(store))
    return peak_memory()


def extract(examples: standard_artifacts.Examples, store: pathlib.Path) -> None:
    """The executor as TFX calls it."""
    with tempfile.TemporaryDirectory() as outputs:
        features = Features()
        features.uri = outputs
        component = FeatureExtractor(Channel(type=standard_artifacts.Examples), str(store), weights=INCEPTION.weights)
        context = executor.Executor.Context(beam_pipeline_args=list(LOCAL_BEAM), tmp_dir=outputs, unique_id="1")
        executor.Executor(context).Do(
            {"examples": [examples]}, {"features": [features]}, dict(component.exec_properties)
        )


def _over_matrix_products(bare: Callable[[], object]) -> Result:
    one, other = (tf.random.stateless_normal((MATRIX, MATRIX), seed=(0, seed)) for seed in range(2))
    multiply = tf.function(tf.matmul)
    rounds = round(PICTURES * GFLOP * 1e9 / (2 * MATRIX**3))

    def products() -> None:
        for _ in range(rounds):
            multiply(one, other).numpy()

    ours, theirs = in_turns(bare, products, rounds=3)
    network, matrices = PICTURES * GFLOP / ours, rounds * 2 * MATRIX**3 / theirs / 1e9
    detail = f"InceptionV3 {network:.0f} GFLOP/s, float32 products of {MATRIX}x{MATRIX} {matrices:.0f} GFLOP/s"
    return Result("extract.bare_over_gemm", network / matrices, "ratio", detail)


def _bare_loop(store: str, data: pathlib.Path) -> Callable[[], object]:
    """The network called on batches that are decoded already."""
    backbone = Backbone(store)
    pictures = [
        images.decode_and_resize(tf.constant(path.read_bytes()), backbone.size) for path in sorted(data.glob("*.jpg"))
    ]
    batches = [tf.stack(pictures[start : start + BATCH]) for start in range(0, PICTURES, BATCH)]
    return lambda: [backbone.from_pixels(batch).numpy() for batch in batches]


def _new_pictures(data: pathlib.Path, place: pathlib.Path) -> Callable[[], float]:
    """Gives a function: seconds of the component when the store lacks a tenth of the pictures."""
    everything = (data / "captions.token.txt").read_text()
    known = "".join(line + "\n" for line in everything.splitlines() if int(line.partition(".")[0]) >= NEW)
    (data / "captions.token.txt").write_text(known)
    old = ingest(data, memory=str(place / "memory"), outputs=str(place / "old"))
    (data / "captions.token.txt").write_text(everything)
    whole = ingest(data, memory=str(place / "memory"), outputs=str(place / "whole"))
    extract(old, _copy(place / "prepared", place / "most"))

    def again() -> float:
        store = _copy(place / "most", place / "again")
        return seconds(lambda: extract(whole, store))

    return again


def _folder(store: pathlib.Path) -> str:
    """The directory of the backbone's fingerprint."""
    return str(store / backbones.fingerprint(INCEPTION))


def _copy(store: pathlib.Path, to: pathlib.Path) -> pathlib.Path:
    """A copy of a store in place of what was there."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(store, to)
    return to
