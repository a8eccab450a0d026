"""The cost of the ingest compared with the decoding that it can't avoid."""

import contextlib
import json
import os
import pathlib
import statistics
import tempfile
from collections.abc import Iterator, Sequence

from tfx.types import standard_artifacts

from benchmarks import pillow
from benchmarks.measuring import HEIGHT, WIDTH, Result, in_turns, noisy_jpegs, peak_memory, peak_of, seconds
from components.caption_ingest import dataset
from components.caption_ingest.component import CaptionIngest
from components.caption_ingest.executor import Executor
from components.caption_ingest.formats.base import Source
from components.caption_ingest.formats.coco import Coco
from components.caption_ingest.settings import CaptionIngestSettings
from components.shared.artifact_types import Rejects
from pipeline.pipeline import LOCAL_BEAM

NUM_IMAGES, NUM_SCENES = 10_000, 50
NUM_NEW = NUM_IMAGES // 10
NUM_FINGERPRINTED = 8_000
NUM_COCO_CAPTIONS = 600_000


def over_pillow() -> Iterator[Result]:
    """The component, from a directory to written examples, against a bare Pillow loop in as many processes."""
    with tempfile.TemporaryDirectory() as directory:
        data = data_set(pathlib.Path(directory, "data"), NUM_IMAGES)
        paths = [str(path) for path in data.glob("*.jpg")]
        ours, theirs = in_turns(lambda: ingest(data), lambda: pillow.decode_all(paths), rounds=2)
        rates = f"component {NUM_IMAGES / ours:.0f} images/s, bare Pillow {NUM_IMAGES / theirs:.0f}"
        yield Result("ingest.over_pillow", theirs / ours, "ratio", f"{NUM_IMAGES} JPEGs of {WIDTH}x{HEIGHT}: {rates}")

        again = statistics.median(_seconds_for_new(data) for _ in range(3))
        detail = f"{NUM_NEW} new images of {NUM_IMAGES} {again:.1f} s, all of them {ours:.1f} s"
        yield Result("ingest.incremental_10pct", again / ours, "ratio", detail)

        duration = fingerprint_seconds(str(data))
        yield Result("ingest.fingerprint_8000", duration, "s", "fingerprint of 8,000 images, none of them opened")


def fingerprint_seconds(data: str) -> float:
    """Measures the fingerprint of `NUM_FINGERPRINTED` images, none of which is opened."""
    settings = CaptionIngestSettings(dir=data, max_images=NUM_FINGERPRINTED)
    return seconds(lambda: dataset.read(settings).fingerprint())


def _seconds_for_new(data: pathlib.Path) -> float:
    """Measures the ingest when a tenth of the images is new."""
    captions = data / "captions.token.txt"
    text = captions.read_text()
    with tempfile.TemporaryDirectory() as cache_dir:
        captions.write_text(_captions(range(NUM_IMAGES - NUM_NEW)))
        ingest(data, cache_dir)
        captions.write_text(text)
        return seconds(lambda: ingest(data, cache_dir))


def coco_memory() -> Iterator[Result]:
    """Peak memory of a process that reads captions of COCO's size."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory, "captions_train.json")
        images = [
            {"id": n, "file_name": f"{n:012}.jpg", "width": 640, "height": 480} for n in range(NUM_COCO_CAPTIONS // 5)
        ]
        text = "A man riding a wave on top of a surfboard, number"
        annotations = [{"image_id": n // 5, "id": n, "caption": f"{text} {n}."} for n in range(NUM_COCO_CAPTIONS)]
        path.write_text(json.dumps({"images": images, "annotations": annotations}))
        peak = peak_of(peak_of_reading, str(path))
        size = path.stat().st_size / 2**20
    detail = f"{NUM_COCO_CAPTIONS} captions, a file of {size:.0f} MiB, all held at once"
    yield Result("ingest.coco_peak", peak, "GB", detail)


def peak_of_reading(path: str) -> float:
    """Reads COCO captions and keeps them; returns this process's peak memory, TensorFlow included, in GB."""
    captions = list(Coco().read(Source(pathlib.Path(path))))
    assert len(captions) == NUM_COCO_CAPTIONS
    return peak_memory()


def data_set(directory: pathlib.Path, num_images: int) -> pathlib.Path:
    """Writes images of Flickr8k's size, no two files equal."""
    directory.mkdir()
    jpegs = noisy_jpegs(NUM_SCENES)
    for index in range(num_images):
        # decoders ignore what follows the end of a JPEG
        (directory / f"{index}.jpg").write_bytes(jpegs[index % NUM_SCENES] + index.to_bytes(4, "big"))
    (directory / "captions.token.txt").write_text(_captions(range(num_images)))
    return directory


def _captions(indices: Sequence[int]) -> str:
    return "".join(f"{index}.jpg#{number}\tA dog runs , {number} .\n" for index in indices for number in range(5))


def ingest(
    data: str | pathlib.Path, cache_dir: str | None = None, outputs: str | None = None
) -> standard_artifacts.Examples:
    """Runs the executor as TFX calls it.

    Args:
      data: the data directory.
      cache_dir: the inspection cache; None starts with an empty one.
      outputs: directory where the output is kept; None deletes it.
    """
    with contextlib.ExitStack() as stack:
        outputs = outputs or stack.enter_context(tempfile.TemporaryDirectory())
        cache_dir = cache_dir or stack.enter_context(tempfile.TemporaryDirectory())
        examples, rejects = standard_artifacts.Examples(), Rejects()
        examples.uri, rejects.uri = os.path.join(outputs, "examples"), os.path.join(outputs, "rejects")
        settings = CaptionIngestSettings(dir=str(data))
        component = CaptionIngest(
            settings,
            cache_dir=cache_dir,
            dir=settings.dir,
            max_images=0,
            max_reject_fraction=settings.max_reject_fraction,
        )
        context = Executor.Context(beam_pipeline_args=list(LOCAL_BEAM), tmp_dir=outputs, unique_id="1")
        Executor(context).Do({}, {"examples": [examples], "rejects": [rejects]}, dict(component.exec_properties))
        return examples
