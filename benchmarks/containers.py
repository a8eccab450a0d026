"""The rates of ingest and extraction from containers, over those from files."""

import functools
import io
import pathlib
import tarfile
import tempfile
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import extract
from benchmarks.ingest import ingest
from benchmarks.measuring import Result, in_turns
from components.caption_ingest import dataset
from components.caption_ingest.dataset import CaptionedImage
from components.caption_ingest.settings import CaptionIngestSettings
from components.feature_extractor.settings import FeatureExtractorSettings
from pipeline import sample_data

NUM_IMAGES, SHARD, ROW_GROUP = 2000, 500, 100
SMALL = FeatureExtractorSettings("MobileNet", "random", 32)  # so small a network that reading counts
NAMES = ("files", "webdataset", "parquet")

Rows = list[tuple[CaptionedImage, bytes]]


def over_files() -> Iterator[Result]:
    """WebDataset and Parquet against a file per image, of the built-in sample: its files are small."""
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        files = place / "files"
        sample_data.write(files, NUM_IMAGES, seed=7)
        write(files, place)
        store = extract.prepare(place / "prepared", SMALL)
        all_examples = {name: ingest(place / name, outputs=str(place / f"{name}-examples")) for name in NAMES}

        def run(name: str) -> None:
            extract.extract(all_examples[name], extract.copy(store, place / "store"), SMALL)

        for name in NAMES[1:]:
            theirs, ours = in_turns(functools.partial(ingest, files), functools.partial(ingest, place / name), rounds=5)
            detail = f"{NUM_IMAGES} images: {NUM_IMAGES / ours:.0f} images/s, from files {NUM_IMAGES / theirs:.0f}"
            yield Result(f"ingest.{name}_over_files", theirs / ours, "ratio", detail)
            theirs, ours = in_turns(functools.partial(run, "files"), functools.partial(run, name), rounds=5)
            detail = f"{NUM_IMAGES} images: {NUM_IMAGES / ours:.0f} images/s, from files {NUM_IMAGES / theirs:.0f}"
            yield Result(f"extract.{name}_over_files", theirs / ours, "ratio", detail)


def write(files: pathlib.Path, place: pathlib.Path) -> None:
    """Writes the images of a data directory in shards, one split each, as WebDataset and as Parquet."""
    for name in NAMES[1:]:
        (place / name).mkdir()
    splits: dict[str, Rows] = {}
    for image in dataset.read(CaptionIngestSettings(dir=str(files))).images:
        splits.setdefault(image.split, []).append((image, (files / image.file.uri).read_bytes()))
    for split, rows in splits.items():
        for start in range(0, len(rows), SHARD):
            name = f"{split}-{start // SHARD:05d}"
            write_webdataset(place / "webdataset" / f"{name}.tar", rows[start : start + SHARD])
            write_parquet(place / "parquet" / f"{name}.parquet", rows[start : start + SHARD])


def write_webdataset(path: pathlib.Path, rows: Rows) -> None:
    """Writes one shard."""
    with tarfile.open(path, "w") as archive:
        for image, data in rows:
            stem = pathlib.Path(image.image_id).stem
            for name, content in ((f"{stem}.jpg", data), (f"{stem}.txt", "\n".join(image.captions).encode())):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def write_parquet(path: pathlib.Path, rows: Rows) -> None:
    """Writes one file as Hugging Face's `datasets` does."""
    images = pa.array(
        [{"bytes": data, "path": image.image_id} for image, data in rows],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    captions = [list(image.captions) for image, _ in rows]
    pq.write_table(pa.table({"image": images, "captions": captions}), path, row_group_size=ROW_GROUP)
