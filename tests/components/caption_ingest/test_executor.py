import json
import pathlib
from unittest import mock

import pytest
from tfx.types import standard_artifacts

from components import records
from components.caption_ingest import splits
from components.caption_ingest.component import CaptionIngest
from components.caption_ingest.executor import Executor
from pipeline.pipeline import LOCAL_BEAM
from tests.material import encode, write_data_set


@pytest.fixture
def ingest(tmp_path):
    """Runs the executor as TFX does; gives both outputs."""

    def run(data: pathlib.Path, **settings) -> tuple[standard_artifacts.Examples, records.Rejects]:
        examples, rejects = standard_artifacts.Examples(), records.Rejects()
        examples.uri, rejects.uri = str(tmp_path / "examples"), str(tmp_path / "rejects")
        properties = CaptionIngest(data_dir=str(data), memory_dir=str(tmp_path / "memory"), **settings).exec_properties
        context = Executor.Context(beam_pipeline_args=list(LOCAL_BEAM), tmp_dir=str(tmp_path), unique_id="1")
        Executor(context).Do({}, {"examples": [examples], "rejects": [rejects]}, dict(properties))
        return examples, rejects

    return run


def test_an_archive_that_has_its_pictures_twice_is_taken(tmp_path, picture, ingest):
    data = tmp_path / "data"
    for directory in ("pictures", "pictures/pictures"):
        (data / directory).mkdir(parents=True)
        for number in range(4):
            (data / directory / f"{number}.png").write_bytes(encode(picture.rotate(90 * number), "PNG"))
    other = encode(picture.rotate(9), "PNG")
    size = (data / "pictures" / "3.png").stat().st_size
    (data / "pictures" / "3.png").write_bytes(other[:size].ljust(size, b"\0"))  # of this name and size, but another
    lists = {"train": ["0.png", "3.png"], "dev": ["1.png"], "test": ["2.png"]}
    write_data_set(data, "".join(f"{number}.png#0\tA dog\n" for number in range(4)), lists)

    examples, rejects = ingest(data, max_reject_fraction=0.25, split_shares={"train": 1, "eval": 0, "test": 0})
    counts = json.loads(examples.get_string_custom_property(records.COUNTS))
    assert counts == {"images": {"train": 1, "eval": 1, "test": 1}, "captions": 3}
    [reject] = map(json.loads, (tmp_path / "rejects" / "rejects.jsonl").read_text().splitlines())
    assert (reject["image_id"], reject["reason"]) == ("3.png", "ambiguous_name")
    assert json.loads(rejects.get_string_custom_property(records.COUNTS)) == {"ambiguous_name": 1}


@pytest.mark.parametrize(("official", "images"), [(True, (1, 1, 1)), (False, (1, 1, 2))])
def test_no_picture_is_both_learnt_and_tested_under_another_name(tmp_path, picture, ingest, official, images):
    data = tmp_path / "data"
    data.mkdir()
    for name, degrees in {"0.png": 0, "1.png": 90, "2.png": 180, "twin.png": 180}.items():
        (data / name).write_bytes(encode(picture.rotate(degrees), "PNG"))
    split_of = {"0.png": "train", "1.png": "val", "2.png": "test", "twin.png": "train"}
    rows = [{"image": name, "caption": "A dog"} | ({"split": split_of[name]} if official else {}) for name in split_of]
    (data / "captions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    with mock.patch.object(splits, "by_hash", lambda name, shares: {"val": "eval"}.get(split_of[name], split_of[name])):
        examples, rejects = ingest(data, max_reject_fraction=0.25)
    counts = json.loads(examples.get_string_custom_property(records.COUNTS))["images"]
    assert tuple(counts[split] for split in records.SPLITS) == images
    assert json.loads(rejects.get_string_custom_property(records.COUNTS)) == ({"duplicate": 1} if official else {})


def test_what_is_left_out_is_said(tmp_path, picture, ingest):
    data = tmp_path / "data"
    data.mkdir()
    for number in range(4):
        (data / f"{number}.png").write_bytes(encode(picture.rotate(90 * number), "PNG"))
    lists = {"train": ["0.png"], "dev": ["1.png"], "test": ["2.png"]}
    write_data_set(data, "".join(f"{number}.png#0\tA dog\n" for number in range(4)), lists)
    examples, _ = ingest(data, unlisted="skip")
    [warning] = json.loads(examples.get_string_custom_property(records.WARNINGS))
    assert warning.startswith("1 pictures are in no official list and left out")
