"""JSON documents of records, in the layouts that public datasets have."""

import json

import pytest

from components.caption_ingest.formats.base import Caption, Source, UnreadableFileError
from components.caption_ingest.formats.json_lines import JsonLines
from components.caption_ingest.formats.json_records import JsonRecords
from components.caption_ingest.formats.karpathy import Karpathy
from components.caption_ingest.layout import detect_format
from components.caption_ingest.rejects import Reason
from components.caption_ingest.settings import Columns
from tests.components.caption_ingest.test_formats import rejected, write_file

DOCUMENTS = {
    "BLIP": [
        {"image": "val2014/a.jpg", "caption": "A dog", "image_id": "coco_1"},
        {"image": "b.jpg", "caption": ["A cat", "Two cats"], "image_id": "coco_2"},
    ],
    "ids": [{"image_id": 1, "id": 7, "caption": "A dog"}],
    "data": {"info": {"version": 1}, "data": [{"file_name": "a.jpg", "captions": ["A dog", "A hound"]}]},
    "images": {"images": [{"file_name": "a.jpg", "caption": "A dog"}], "licenses": ["any"]},
    "annotations": {"annotations": [{"file_name": "a.jpg", "sentences": [{"raw": "A dog"}, "A hound"]}]},
    "NWPU": {
        "airplane": [{"filename": "a.jpg", "imgid": 1, "raw": "A plane", "raw_1": "Two planes", "split": "test"}],
        "beach": [{"filename": "b.jpg", "imgid": 2, "raw": "A beach", "split": "val"}],
    },
    "by name": {"a.jpg": ["A dog", "A hound"], "b.jpg": "A cat"},
    "by name, with another's name": {"a.jpg": ["A dog as in b.jpg"]},
    "by stem": {"1000092795": ["A dog runs .", "Two dogs run ."], "10002456": ["A cat sits ."]},
    "record by name": {"a.jpg": {"caption": "A dog", "split": "test"}},
    "splits": {"train": [{"image": "a.jpg", "caption": "A dog"}], "val": [{"image": "b.jpg", "caption": "A cat"}]},
    "splits by name": {"train": {"a.jpg": ["A dog"]}, "test": {"b.jpg": ["A cat"]}},
}
CAPTIONS = {
    "BLIP": [("val2014/a.jpg", "A dog", None, 1), ("b.jpg", "A cat", None, 2), ("b.jpg", "Two cats", None, 2)],
    "ids": [("1", "A dog", None, 1)],
    "data": [("a.jpg", "A dog", None, 1), ("a.jpg", "A hound", None, 1)],
    "images": [("a.jpg", "A dog", None, 1)],
    "annotations": [("a.jpg", "A dog", None, 1), ("a.jpg", "A hound", None, 1)],
    "NWPU": [("a.jpg", "A plane", "test", 1), ("a.jpg", "Two planes", "test", 1), ("b.jpg", "A beach", "eval", 2)],
    "by name": [("a.jpg", "A dog", None, 1), ("a.jpg", "A hound", None, 1), ("b.jpg", "A cat", None, 2)],
    "by name, with another's name": [("a.jpg", "A dog as in b.jpg", None, 1)],
    "by stem": [
        ("1000092795", "A dog runs .", None, 1),
        ("1000092795", "Two dogs run .", None, 1),
        ("10002456", "A cat sits .", None, 2),
    ],
    "record by name": [("a.jpg", "A dog", "test", 1)],
    "splits": [("a.jpg", "A dog", "train", 1), ("b.jpg", "A cat", "eval", 2)],
    "splits by name": [("a.jpg", "A dog", "train", 1), ("b.jpg", "A cat", "test", 2)],
}
LAYOUTS = {"one line": {}, "indented": {"indent": 2}, "one record per line": {"separators": (",\n", ": ")}}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_json_document_of_records(tmp_path, name, layout):
    source = write_file(tmp_path, json.dumps(DOCUMENTS[name], **LAYOUTS[layout]))
    assert isinstance(detect_format(source), JsonRecords)
    assert list(JsonRecords().read(source)) == [Caption(*caption) for caption in CAPTIONS[name]]


@pytest.mark.parametrize(
    "document",
    [
        ["a.jpg", "b.jpg"],
        {"train": ["my photo 1.jpg", "my photo 2.jpg"]},
        {"images": [{"file_name": "a.jpg"}], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]},
        {"model": {"name": "gru", "d_model": 512}},
        {"word_index": {"dog": 1}},
        {"title": "Flickr", "description": "a set of images"},
        [],
        [[1, 2]],
    ],
)
def test_a_json_document_without_captions_is_no_caption_file(tmp_path, document):
    for layout in LAYOUTS.values():
        assert detect_format(write_file(tmp_path, json.dumps(document, **layout))) is None


def test_a_record_that_is_no_caption_is_rejected_with_its_number(tmp_path):
    good = {"image": "a.jpg", "caption": "A dog"}
    bad = [
        {"image": "b.jpg"},
        {"caption": "A cat"},
        7,
        {"image": "c.jpg", "caption": []},
        {**good, "is_rejected": True},
    ]
    _, *items = JsonRecords().read(write_file(tmp_path, json.dumps([good, *bad])))
    reasons = (Reason.BAD_LINE, Reason.BAD_LINE, Reason.BAD_LINE, Reason.EMPTY_CAPTION, Reason.FLAGGED)
    assert rejected(items) == list(enumerate(reasons, start=2))


@pytest.mark.parametrize(
    ("record", "detail"),
    [
        (
            {"file_name": "a.jpg", "prompt": "A dog"},
            "no caption; its keys are 'file_name', 'prompt', of which data.columns.caption=KEY may choose one",
        ),
        (
            {"photo": "a.jpg", "caption": "A dog"},
            "no image name; its keys are 'photo', 'caption', of which data.columns.image=KEY may choose one",
        ),
        (
            {"image": "a.jpg", "caption": {"en": "A dog", "fr": "Un chien"}},
            "no caption: an object in 'caption', whose keys are 'en', 'fr'; expected a text, or one in 'caption'",
        ),
        (
            {"image": "a.jpg", "captions": [["A dog"]]},
            "no caption: a list in the list 'captions'; expected a list of texts",
        ),
        ({"image": "a.jpg", "caption": None}, "no caption: null in 'caption'; expected a text"),
        (
            {"image": ["a.jpg", "b.jpg"], "caption": ["A dog", "A cat"]},
            "'image' holds a list of 2 and not a name; expected one record per image, "
            "as pandas writes with orient='records'",
        ),
        (
            {"image": {"0": "a.jpg"}, "caption": {"0": "A dog"}},
            "'image' holds an object of 1 and not a name; expected one record per image, "
            "as pandas writes with orient='records'",
        ),
        (
            {"image": "/9j/4AAQSkZJRgABAQ" * 100, "caption": "A dog"},
            "1800 characters of an image in base64 and not its name; expected images as files, or as bytes in Parquet",
        ),
    ],
)
def test_a_reject_says_what_the_record_is(tmp_path, record, detail):
    [reject] = JsonLines().read(write_file(tmp_path, json.dumps(record) + "\n"))
    assert (reject.reason, reject.detail) == (Reason.BAD_LINE, detail)


@pytest.mark.parametrize("wrap", [lambda record: record, lambda record: [record]], ids=["JSON lines", "JSON records"])
def test_columns_name_the_keys_of_records(tmp_path, wrap):
    record = {"path": "a.jpg", "image": 3, "en": "A dog", "de_1": "Ein Hund", "de_2": "Ein Köter", "caption": "x"}
    path = write_file(tmp_path, json.dumps(wrap(record))).path
    source = Source(path, columns=Columns(image="path", caption="de_*"))
    assert [(caption.image_id, caption.text) for caption in detect_format(source).read(source)] == [
        ("a.jpg", "Ein Hund"),
        ("a.jpg", "Ein Köter"),
    ]


def test_a_broken_document_of_records_is_refused_with_its_position(tmp_path):
    source = write_file(tmp_path, '[{"image": "a.jpg", "caption": "A dog"},\n{"image": "b.jpg", "cap')
    assert isinstance(detect_format(source), JsonRecords)
    with pytest.raises(UnreadableFileError, match=r"captions:2: not JSON: .* at character \d+"):
        list(JsonRecords().read(source))


def test_karpathys_sentences_may_be_plain_texts(tmp_path):
    document = {"images": [{"filename": "a.jpg", "split": "val", "sentences": ["A dog", {"raw": "A hound"}]}]}
    source = write_file(tmp_path, json.dumps(document))
    assert isinstance(detect_format(source), Karpathy)
    assert [caption.text for caption in Karpathy().read(source)] == ["A dog", "A hound"]


@pytest.mark.parametrize("name", ["captions.json", "captions.jsonl"])
def test_different_captions_under_two_keys_are_refused_unless_one_is_chosen(tmp_path, read, name):
    (tmp_path / "a.jpg").write_bytes(b"a")

    def write(text):
        record = json.dumps({"image": "a.jpg", "caption": "A dog runs", "text": text})
        (tmp_path / name).write_text(f"[{record}]" if name.endswith(".json") else f"{record}\n")

    write("STOP")
    with pytest.raises(
        ValueError, match=rf"{name}: the columns 'caption' and 'text' may both hold the caption; choose"
    ):
        read(tmp_path)
    [image] = read(tmp_path, columns=Columns(caption="text")).images
    assert image.captions == ("STOP",)
    for same in ("A dog runs", "", None):
        write(same)
        assert read(tmp_path).images[0].captions == ("A dog runs",)
