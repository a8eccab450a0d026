"""The executor, as TFX calls it."""

import errno
import json
import pathlib
import shutil
from collections.abc import Callable

import pytest
from tfx.types import standard_artifacts

from components.caption_ingest import dataset
from components.caption_ingest.component import CaptionIngest
from components.caption_ingest.executor import Executor
from components.caption_ingest.settings import CaptionIngestSettings, SplitFractions
from components.caption_ingest.splits import hash_split
from components.shared import artifact_types, records, storage
from components.shared.step import ChangedDuringStepError
from pipeline.pipeline import LOCAL_BEAM
from tests.factories import encode, write_data_set


def component_of(data: pathlib.Path, tmp_path: pathlib.Path, max_reject_fraction: float = 0.01, **settings):
    return CaptionIngest(
        CaptionIngestSettings(**settings),
        cache_dir=str(tmp_path / "cache"),
        dir=str(data),
        max_images=0,
        max_reject_fraction=max_reject_fraction,
    )


@pytest.fixture
def ingest(tmp_path) -> Callable[..., tuple[standard_artifacts.Examples, artifact_types.Rejects]]:
    """Runs the executor on a data directory with some settings; returns both outputs."""

    def run(data: pathlib.Path, max_reject_fraction: float = 0.01, observed: str | None = None, **settings):
        examples, rejects = standard_artifacts.Examples(), artifact_types.Rejects()
        examples.uri, rejects.uri = str(tmp_path / "examples"), str(tmp_path / "rejects")
        component = component_of(data, tmp_path, max_reject_fraction, **settings)
        properties = dict(component.exec_properties) | ({} if observed is None else {records.FINGERPRINT: observed})
        context = Executor.Context(beam_pipeline_args=list(LOCAL_BEAM), tmp_dir=str(tmp_path), unique_id="1")
        outputs = {"examples": [examples], "rejects": [rejects]}
        Executor(context).Do({}, outputs, properties)
        return examples, rejects

    return run


def counts_of(artifact) -> dict:
    return json.loads(artifact.get_string_custom_property(records.COUNTS))


def test_an_archive_that_contains_its_images_twice_is_accepted(tmp_path, image, ingest):
    data = tmp_path / "data"
    for directory in ("images", "images/images"):
        (data / directory).mkdir(parents=True)
        for number in range(4):
            (data / directory / f"{number}.png").write_bytes(encode(image.rotate(90 * number), "PNG"))
    other = encode(image.rotate(9), "PNG")
    size = (data / "images" / "3.png").stat().st_size
    (data / "images" / "3.png").write_bytes(other[:size].ljust(size, b"\0"))  # same name and size, other content
    lists = {"train": ["0.png", "3.png"], "dev": ["1.png"], "test": ["2.png"]}
    write_data_set(data, "".join(f"{number}.png#0\tA dog\n" for number in range(4)), lists)

    fractions = SplitFractions(train=1, eval=0, test=0)
    examples, rejects = ingest(data, max_reject_fraction=0.25, split_fractions=fractions)
    assert counts_of(examples) == {"images": {"train": 1, "eval": 1, "test": 1}, "captions": 3}
    [reject] = map(json.loads, (tmp_path / "rejects" / "rejects.jsonl").read_text().splitlines())
    assert (reject["image_id"], reject["reason"]) == ("3.png", "ambiguous_name")
    assert counts_of(rejects) == {"ambiguous_name": 1}


def name_in(split: str, number: int) -> str:
    """A name that the hash assigns to a split."""
    names = (f"{number}-{suffix}.png" for suffix in range(1000))
    return next(name for name in names if hash_split(name, SplitFractions()) == split)


@pytest.mark.parametrize("official", [True, False])
def test_equal_images_with_different_names_are_in_one_split(tmp_path, image, ingest, official):
    data = tmp_path / "data"
    data.mkdir()
    rows = []
    for number, (split, degrees) in enumerate(
        [("train", 0), ("eval", 90), ("test", 180), ("train", 180), ("train", 9)]
    ):
        name = name_in(split, number)
        (data / name).write_bytes(encode(image.rotate(degrees), "PNG"))
        rows.append({"image": name, "caption": "A dog"} | ({"split": split} if official else {}))
    (data / "captions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    examples, rejects = ingest(data, max_reject_fraction=0.25)
    num_images = counts_of(examples)["images"]
    assert tuple(num_images[split] for split in records.SPLITS) == ((2, 1, 1) if official else (2, 1, 2))
    assert counts_of(rejects) == ({"duplicate": 1} if official else {})
    splits_from = examples.get_string_custom_property(records.SPLITS_FROM)
    warnings = json.loads(examples.get_string_custom_property(records.WARNINGS))
    if official:
        assert (splits_from, warnings) == (records.OFFICIAL, [])
    else:
        assert splits_from == records.HASHED and "1 images have the same content as others" in warnings[0]


def write_listed_data_set(data, image, num_images):
    """Writes images that differ, of which the first three are in official lists; returns their directory."""
    data.mkdir()
    for number in range(num_images):
        (data / f"{number}.png").write_bytes(encode(image.rotate(90 * number), "PNG"))
    lists = {"train": ["0.png"], "dev": ["1.png"], "test": ["2.png"]}
    write_data_set(data, "".join(f"{number}.png#0\tA dog\n" for number in range(num_images)), lists)
    return data


def test_skipped_images_give_a_warning(tmp_path, image, ingest):
    data = write_listed_data_set(tmp_path / "data", image, 4)
    examples, _ = ingest(data, unlisted_images="skip")
    [warning] = json.loads(examples.get_string_custom_property(records.WARNINGS))
    assert warning == "1 images skipped: no official split list names them (data.unlisted_images=skip)"


def test_captions_that_were_saved_after_the_driver_looked_fail_the_step(tmp_path, image, ingest):
    data = write_listed_data_set(tmp_path / "data", image, 3)
    observed = dataset.read(CaptionIngestSettings(dir=str(data))).fingerprint()
    ingest(data, observed=observed)
    write_data_set(data, "".join(f"{number}.png#0\tA cat\n" for number in range(3)))
    with pytest.raises(ChangedDuringStepError, match=r"data\.dir: .*data has changed since this step began; run again"):
        ingest(data, observed=observed)


def test_a_file_that_could_not_be_read_is_no_missing_one(tmp_path, image, ingest, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    for number in range(4):
        (data / f"{number}.png").write_bytes(encode(image.rotate(90 * number), "PNG"))
    lists = {"train": ["0.png", "3.png"], "dev": ["1.png"], "test": ["2.png"]}
    write_data_set(data, "".join(f"{number}.png#0\tA dog\n" for number in range(4)), lists)
    read_bytes = storage.read_bytes

    def fail_once(path):
        if path.endswith("3.png"):
            raise OSError(errno.EIO, "Input/output error")
        return read_bytes(path)

    monkeypatch.setattr(storage, "read_bytes", fail_once)  # no disk fails on demand
    examples, rejects = ingest(data, max_reject_fraction=0.25)
    assert counts_of(rejects) == {"unreadable_image": 1}
    assert examples.get_string_custom_property(records.INCOMPLETE) == '["3.png"]'
    shutil.rmtree(tmp_path / "cache")  # nothing of this is kept there
    monkeypatch.setattr(storage, "read_bytes", read_bytes)
    examples, rejects = ingest(data, max_reject_fraction=0.25)
    assert counts_of(rejects) == {} and not examples.has_custom_property(records.INCOMPLETE)
