"""What the ingest costs beside the decoding that it can't do without."""

import contextlib
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image
from tfx.types import standard_artifacts

from benchmarks import pillow
from benchmarks.measuring import Result, in_turns, peak_memory, seconds
from components import scenes
from components.caption_ingest import dataset, readers
from components.caption_ingest.component import CaptionIngest
from components.caption_ingest.executor import Executor
from components.records import Rejects
from pipeline.pipeline import LOCAL_BEAM

ROOT = pathlib.Path(__file__).parent.parent
PICTURES, DIFFERENT, WIDTH, HEIGHT = 10_000, 50, 500, 375  # of Flickr8k's size
NEW = PICTURES // 10
COCO_CAPTIONS = 600_000
PEAK = "import sys\nfrom benchmarks import ingest\nprint(ingest.peak_of_reading(sys.argv[1]))"


def over_pillow() -> Iterator[Result]:
    """The component, from a directory to written examples, against a bare Pillow loop on as many processes."""
    with tempfile.TemporaryDirectory() as directory:
        data = data_set(pathlib.Path(directory, "data"), PICTURES)
        paths = [str(path) for path in data.glob("*.jpg")]
        ours, theirs = in_turns(lambda: ingest(data, fresh=True), lambda: pillow.decode_all(paths), rounds=2)
        rates = f"component {PICTURES / ours:.0f} pictures/s, bare Pillow {PICTURES / theirs:.0f}"
        yield Result("ingest.over_pillow", theirs / ours, "ratio", f"{PICTURES} JPEGs of {WIDTH}x{HEIGHT}: {rates}")

        again = statistics.median(_seconds_for_new(data) for _ in range(3))
        detail = f"{NEW} new pictures of {PICTURES} {again:.1f} s, all of them {ours:.1f} s"
        yield Result("ingest.incremental_10pct", again / ours, "ratio", detail)

        known = dataset.Settings(str(data), limit=8000)
        took = seconds(lambda: dataset.fingerprint(known))
        yield Result("ingest.fingerprint_8000", took, "s", "fingerprint of 8,000 pictures, none of them opened")


def _seconds_for_new(data: pathlib.Path) -> float:
    """Seconds of the ingest when a tenth of the pictures is new."""
    captions = data / "captions.token.txt"
    whole = captions.read_text()
    with tempfile.TemporaryDirectory() as memory:
        captions.write_text(_captions(range(PICTURES - NEW)))
        ingest(data, memory=memory)
        captions.write_text(whole)
        return seconds(lambda: ingest(data, memory=memory))


def coco_memory() -> Iterator[Result]:
    """The most memory of a process that reads captions of COCO's size."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory, "captions_train.json")
        images = [
            {"id": n, "file_name": f"{n:012}.jpg", "width": 640, "height": 480} for n in range(COCO_CAPTIONS // 5)
        ]
        text = "A man riding a wave on top of a surfboard, number"
        annotations = [{"image_id": n // 5, "id": n, "caption": f"{text} {n}."} for n in range(COCO_CAPTIONS)]
        path.write_text(json.dumps({"images": images, "annotations": annotations}))
        command = [sys.executable, "-c", PEAK, str(path)]
        peak = float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()[-1])
        size = path.stat().st_size / 2**20
    yield Result(
        "ingest.coco_peak", peak, "GB", f"{COCO_CAPTIONS} captions, a file of {size:.0f} MiB, all held at once"
    )


def peak_of_reading(path: str) -> float:
    """Reads COCO captions and keeps them; the most memory of this process so far, TensorFlow included, in GB."""
    captions = list(readers.read_coco(pathlib.Path(path)))
    assert len(captions) == COCO_CAPTIONS
    return peak_memory()


def data_set(directory: pathlib.Path, pictures: int) -> pathlib.Path:
    """Pictures with the noise of photographs, of 130 KB as Flickr8k's are, no two files alike."""
    directory.mkdir()
    rng = np.random.default_rng(0)
    drawn = []
    for index in range(DIFFERENT):
        plain = np.asarray(scenes.draw(0, index).resize((WIDTH, HEIGHT)), np.float32)
        noisy = np.clip(plain + rng.normal(0, 20, plain.shape), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noisy).save(buffer, "JPEG", quality=95)
        drawn.append(buffer.getvalue())
    for index in range(pictures):
        # what follows a JPEG's end is not looked at
        (directory / f"{index}.jpg").write_bytes(drawn[index % DIFFERENT] + index.to_bytes(4, "big"))
    (directory / "captions.token.txt").write_text(_captions(range(pictures)))
    return directory


def _captions(indices: Sequence[int]) -> str:
    return "".join(f"{index}.jpg#{number}\tA dog runs .\n" for index in indices for number in range(5))


def ingest(
    data: pathlib.Path, memory: str | None = None, fresh: bool = False, outputs: str | None = None
) -> standard_artifacts.Examples:
    """The executor as TFX calls it; what it writes is kept if `outputs` says where."""
    with contextlib.ExitStack() as stack:
        outputs = outputs or stack.enter_context(tempfile.TemporaryDirectory())
        if fresh:
            memory = stack.enter_context(tempfile.TemporaryDirectory())
        examples, rejects = standard_artifacts.Examples(), Rejects()
        examples.uri, rejects.uri = os.path.join(outputs, "examples"), os.path.join(outputs, "rejects")
        properties = CaptionIngest(data_dir=str(data), memory_dir=memory or "").exec_properties
        context = Executor.Context(beam_pipeline_args=list(LOCAL_BEAM), tmp_dir=outputs, unique_id="1")
        Executor(context).Do({}, {"examples": [examples], "rejects": [rejects]}, dict(properties))
        return examples
