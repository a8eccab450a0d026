import dataclasses
import pathlib

import pytest

from components.caption_ingest.settings import CaptionIngestSettings
from components.shared import scenes, storage
from pipeline import data_preview, data_survey
from pipeline.data_preview import DataError, File, preview
from tests.containers import hf_image, write_parquet
from tests.factories import write_data_set

NAMES = [f"r{number}.jpg" for number in range(8)]


@pytest.fixture
def data_dir(tmp_path):
    """Eight images with two captions each, lists for train and dev, and a caption of a missing image."""
    lines = [f"{name}#{row}\tA dog runs {row} .\n" for name in (*NAMES, "gone.jpg") for row in range(2)]
    write_data_set(tmp_path, "".join(lines), {"train": NAMES[:5], "dev": NAMES[5:7]})
    for number, name in enumerate(NAMES):
        (tmp_path / name).write_bytes(scenes.jpeg(0, number))
    return tmp_path


def upload(directory: pathlib.Path, uri: str) -> None:
    for path in directory.iterdir():
        storage.write_bytes(f"{uri}/{path.name}", path.read_bytes())


def look(directory, **settings) -> data_preview.Preview:
    return preview(CaptionIngestSettings(dir=str(directory), **settings))


def test_files_images_and_splits_are_shown(data_dir):
    found = look(data_dir)
    assert found.files == [
        File("captions.token.txt", "captions", "Flickr tokens"),
        File("trainImages.txt", "images of train", "list of names"),
        File("devImages.txt", "images of eval", "list of names"),
    ]
    assert found.num_images["test"] == 2 and sum(found.num_images.values()) == 8
    assert found.split_origins == {"split lists": 7, "unlisted (data.unlisted_images)": 2}
    assert (found.stated_splits, found.num_captions) == (("train", "eval"), 16)
    assert ("r0.jpg", "A dog runs 0 .") in {(name, text) for name, _, text in found.sentences}


def test_dialect_columns_and_encoding_of_a_table_are_shown(data_dir):
    (data_dir / "captions.token.txt").unlink()
    rows = "".join(f'"{name}";"A dog; running";""\n' for name in NAMES)
    (data_dir / "table.csv").write_text("sep=;\nfile;caption;split\n" + rows, encoding="utf-16")
    [table, *_] = look(data_dir).files
    assert table == File("table.csv", "captions", "table, semicolons, quoted, columns file, caption, split, utf-16-le")


def test_names_that_are_spelled_otherwise_are_counted(data_dir):
    (data_dir / "r3.jpg").rename(data_dir / "R3.JPG")
    assert look(data_dir).names == {"as spelled": 7, "in another case": 1}


def test_rejects_are_those_of_names_and_of_headers(data_dir):
    (data_dir / "r2.jpg").write_text("<html>404</html>")
    (data_dir / "r4.jpg").write_bytes(b"")
    found = look(data_dir)
    assert {reject.image_id: reject.reason.value for reject in found.rejects} == {
        "gone.jpg": "missing_image",
        "r2.jpg": "undecodable",
        "r4.jpg": "undecodable",
    }
    assert found.refusal.startswith("6 of 18 captions (33.3%) can't be used")
    assert not look(data_dir, max_reject_fraction=0.5).refusal


def test_a_split_without_images_stops_a_run(data_dir):
    for split in ("train", "dev"):
        (data_dir / f"{split}Images.txt").unlink()
    (data_dir / "captions.token.txt").write_text("r0.jpg#0\tA dog runs .\n")
    assert look(data_dir).refusal.startswith("no image is left for the train split (1 images in total): provide more")
    rows = "".join(f"{name},A dog runs .,test\n" for name in NAMES)
    (data_dir / "captions.token.txt").write_text(f"image,caption,split\n{rows}")
    assert look(data_dir).refusal.startswith("no image is left for the train split (8 images in total; the data itself")
    (data_dir / "captions.token.txt").write_text("image,caption\n")
    assert look(data_dir).refusal.startswith("no image is left for the train split (0 images in total)")


def test_an_image_with_a_bad_header_fills_no_split(data_dir):
    assert not look(data_dir, max_reject_fraction=1).refusal
    for name in NAMES[5:7]:
        (data_dir / name).write_text("<html>404</html>")
    assert "for the test split (6 images in total; the data itself" in look(data_dir, max_reject_fraction=1).refusal


def test_containers_are_looked_into(tmp_path):
    images = [hf_image(scenes.jpeg(0, number)) for number in range(12)]
    images[10] = hf_image(b"<html>")
    write_parquet(tmp_path / "train-0.parquet", {"image": images[:11], "caption": ["A dog"] * 11})
    write_parquet(tmp_path / "test-0.parquet", {"image": images[11:], "caption": [["A dog", "A cat"]]})
    found = look(tmp_path)
    assert [(file.name, file.format) for file in found.files] == [
        ("test-0.parquet", "Parquet, columns image, caption"),
        ("train-0.parquet", "Parquet, columns image, caption"),
    ]
    assert (found.num_opened, found.num_captions, found.stated_splits) == (12, 13, ("train", "test"))
    assert [(reject.image_id, reject.line) for reject in found.rejects] == [("train-0.parquet/10", 10)]


def test_a_large_data_set_is_opened_in_samples(data_dir, monkeypatch):
    monkeypatch.setattr(data_preview, "MAX_OPENED", 3)
    assert look(data_dir).num_opened == 3


def test_examples_of_rejects_are_few(data_dir):
    with (data_dir / "captions.token.txt").open("a") as file:
        file.writelines(f"{name}#9\t?\n" for name in NAMES)
    found = look(data_dir).to_json()
    assert found["rejects"] == {"empty_caption": 8, "missing_image": 1}
    assert found["rejected_captions"] == {"missing_image": 2, "empty_caption": 8}
    assert found["examples"]["empty_caption"] == [
        f"captions.token.txt:{19 + row}: r{row}.jpg: no word in '?'" for row in range(3)
    ]


@pytest.mark.parametrize(
    ("files", "message"), [({}, "is empty"), ({"notes.txt": "A dog.\n"}, "no captions in"), (None, "not a directory")]
)
def test_a_directory_that_is_refused_as_a_whole_is_an_error(tmp_path, files, message):
    for name, text in (files or {}).items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        look(tmp_path if files is not None else tmp_path / "none")


def test_a_bucket_is_shown_as_a_disk(data_dir, bucket):
    (data_dir / "r1.jpg").write_bytes(b"no image")
    upload(data_dir, bucket)
    assert dataclasses.replace(look(bucket), data_dir="") == dataclasses.replace(look(data_dir), data_dir="")


def test_a_bucket_that_can_not_be_read_is_refused_in_one_line(data_dir, bucket, relayed):
    upload(data_dir, bucket)
    relayed.fault = lambda method, path: 403 if path.endswith(".jpg") else None
    with pytest.raises(DataError, match=rf"^{bucket}/r\d.jpg: access denied .*$"):
        look(bucket)
    with pytest.raises(DataError, match=rf"^{bucket}/r\d.jpg: access denied .*$"):
        data_survey.survey(bucket)
