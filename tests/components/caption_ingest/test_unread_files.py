"""What is said of files in which no captions are found, and that its advice works."""

import gzip
import json
import pathlib
import pickle
import re

import pytest

from components.caption_ingest import dataset
from components.caption_ingest.layout import find_layout
from components.caption_ingest.settings import CaptionIngestSettings, Columns

NAMES = ("a1.jpg", "b2.jpg", "c3.jpg")
TEXTS = ("A dog runs", "Two cats, sleeping on it", "A man rides a bike")
PAIRS = list(zip(NAMES, TEXTS, strict=True))


@pytest.fixture(autouse=True)
def images(tmp_path) -> None:
    (tmp_path / "images").mkdir()
    for name in NAMES:
        (tmp_path / "images" / name).write_bytes(b"")


def refusal(directory: pathlib.Path, **settings) -> str:
    """What is said behind the known formats."""
    with pytest.raises(FileNotFoundError) as caught:
        find_layout(str(directory), **settings)
    return str(caught.value).rpartition('{"image": NAME, "caption": TEXT}`\n')[2]


def read(directory: pathlib.Path, **settings) -> list[tuple[str, str]]:
    data = dataset.read(CaptionIngestSettings(dir=str(directory), **settings))
    return sorted((pathlib.Path(image.file.uri).name, text) for image in data.images for text in image.captions)


def lines(rows: list[list[str]], delimiter: str = ";") -> str:
    return "".join(f"{delimiter.join(row)}\n" for row in rows)


ARTEMIS = lines(
    [["style", "painting", "utterance"], *([str(row), name[:2], text] for row, (name, text) in enumerate(PAIRS))]
)
GERMAN = lines([["Bild", "Beschreibung des Bilds"], *map(list, PAIRS)])
RECORDS = [
    {"caption_id": row, "caption_str": text, "caption_tokens": text.split(), "image_id": name[:2], "set": "train"}
    for row, (name, text) in enumerate(PAIRS)
]
LISTS = [{"id": row, "picture": name, "blip_caption": [text], "tags": []} for row, (name, text) in enumerate(PAIRS)]


@pytest.mark.parametrize(
    ("name", "text", "seen", "image", "caption"),
    [
        ("artemis.csv", ARTEMIS, "a table with the columns style, painting, utterance", "painting", "utterance"),
        ("c.csv", GERMAN, "a table with the columns Bild, Beschreibung des Bilds", "Bild", "'Beschreibung des Bilds'"),
        (
            *("TextCaps.json", json.dumps({"version": 1, "data": RECORDS})),
            *(
                "records with the keys caption_id, caption_str, caption_tokens, image_id, set",
                "image_id",
                "caption_str",
            ),
        ),
        (
            *("blip.json", json.dumps(LISTS, indent=1)),
            *("records with the keys id, picture, blip_caption, tags", "picture", "blip_caption"),
        ),
        (
            *("meta.jsonl", "".join(f"{json.dumps(record)}\n" for record in LISTS)),
            *("records with the keys id, picture, blip_caption, tags", "picture", "blip_caption"),
        ),
    ],
)
def test_columns_and_keys_are_named_and_the_settings_that_read_them(tmp_path, name, text, seen, image, caption):
    (tmp_path / name).write_text(text)
    assert refusal(tmp_path) == f"{name}: {seen}; set data.columns.image={image} and data.columns.caption={caption}"
    assert read(tmp_path, columns=Columns(image, caption.strip("'"))) == PAIRS


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("url,caption\nhttp://x/9.jpg,A dog runs\n", "no column holds names of image files that are there"),
        ("picture,label\na1.jpg,dog\n", "no column holds sentences (data.columns.caption)"),
        (
            '[{"picture": "a1.jpg", "turns": [{"from": "x", "value": "A dog runs"}]}]',
            "keys picture, turns; no key holds",
        ),
        ('{"urls": ["http://x/9.jpg"], "texts": ["A dog runs"]}', "keys urls, texts, and no list of records"),
    ],
)
def test_what_is_missing_is_said(tmp_path, text, missing):
    (tmp_path / "captions.json").write_text(text)
    found = refusal(tmp_path)
    assert missing in found and "set data" not in found


@pytest.mark.parametrize(
    ("rows", "delimiter", "header"),
    [
        ([[str(row), *pair] for row, pair in enumerate(PAIRS)], "\t", "'column_1\\timage\\tcaption'"),
        ([[text, name] for name, text in PAIRS], "|", "'caption|image'"),
        ([["a1.jpg", "dogs, many and small"], ["b2.jpg", "cats, a few, and 1"]], ",", "'image,caption'"),
    ],
)
def test_the_first_row_of_a_table_without_a_header_is_not_lost(tmp_path, rows, delimiter, header):
    path = tmp_path / "captions.txt"
    path.write_text(lines(rows, delimiter))
    found = refusal(tmp_path)
    assert (
        found.endswith(f"; add a line before it that names the columns, such as {header}") and "set data" not in found
    )
    path.write_text(f"{header[1:-1]}\n".replace("\\t", "\t") + path.read_text())
    assert [name for name, _ in read(tmp_path)] == list(NAMES[: len(rows)])


def test_rows_without_a_sentence_need_no_header(tmp_path):
    (tmp_path / "boxes.csv").write_text(lines([[name, "10", "20", "dog"] for name in NAMES], ","))
    assert refusal(tmp_path).endswith("'a1.jpg,10,20,dog'; it has no column of sentences")


def test_lines_before_a_table_are_removed(tmp_path):
    (tmp_path / "captions.csv").write_text("# made by a tool\n" + lines([["image", "caption"], *map(list, PAIRS)]))
    assert refusal(tmp_path) == "captions.csv: a table whose first line is 'image;caption'; remove the lines before it"


@pytest.mark.parametrize("place", ["a/b", "a/b/c"])
def test_captions_that_lie_deeper_are_chosen(tmp_path, place):
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "captions.csv").write_text(lines([["image", "caption"], *map(list, PAIRS)]))
    [setting] = re.findall(r"set data\.caption_files=(\S+)$", refusal(tmp_path))
    assert read(tmp_path, caption_files=setting) == PAIRS


@pytest.mark.parametrize(
    ("name", "data", "seen"),
    [
        ("captions.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        ("captions.csv.gz", gzip.compress(GERMAN.encode()), "compressed; decompress it, as with gunzip"),
        ("captions.csv", gzip.compress(GERMAN.encode()), "compressed; decompress it, as with gunzip"),
        ("captions.pkl", pickle.dumps(RECORDS), "a pickle, which is not read"),
        ("data-00000-of-00001.arrow", b"\xff\xff\xff\xff\0\0", "an Arrow file, which is not read; write Parquet"),
        ("captions.yaml", b"- image: a1.jpg\n  caption: A dog runs\n", "YAML, which is not read; write it as JSON"),
        ("captions.xlsx", b"PK\3\4", "a spreadsheet; save it as CSV"),
        ("captions.csv", b"", "empty"),
        ("notes.txt", b"A dog.\n", "text in no known format; it begins with 'A dog.'"),
    ],
)
def test_other_files_are_called_what_they_are(tmp_path, name, data, seen):
    (tmp_path / name).write_bytes(data)
    found = refusal(tmp_path)
    assert found.startswith(f"{name}: ") and seen in found


def test_texts_in_another_directory_than_their_images_are_moved(tmp_path):
    (tmp_path / "texts" / "deep").mkdir(parents=True)
    for name, text in PAIRS:
        (tmp_path / "texts" / "deep" / f"{name[:2]}.txt").write_text(text)
    found = refusal(tmp_path)
    assert found.startswith("texts/deep/a1.txt and 2 more: ") and found.endswith("; move it beside the image")
    for path in (tmp_path / "texts" / "deep").iterdir():
        path.rename(tmp_path / "images" / path.name)
    assert read(tmp_path) == PAIRS


def test_some_files_are_named_those_with_a_way_out_first(tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.md").write_text(f"{number}\n")
    (tmp_path / "z.csv").write_text(ARTEMIS)
    found = refusal(tmp_path).splitlines()
    assert (len(found), found[-1]) == (5, "3 more files have no captions either") and found[0].startswith("z.csv: ")


def test_names_of_columns_are_printed_without_control_characters(tmp_path):
    (tmp_path / "captions.csv").write_text("a\x1b[2J,b\n1,2\n")
    (tmp_path / "captions.jsonl").write_text('{"\\u001b[2J": 1, "b": 2}\n{"\\u001b[2J": 1, "b": 2}\n')
    found = refusal(tmp_path)
    assert "columns a\\x1b[2J, b" in found and "keys \\x1b[2J, b" in found and "\x1b" not in found


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    path = tmp_path / "a" / "b" / "captions.csv"
    path.write_text("image,caption\n")
    open_path = pathlib.Path.open

    def refuse(self, *arguments, **settings):
        if self == path:
            raise PermissionError(13, "Permission denied")
        return open_path(self, *arguments, **settings)

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    assert refusal(tmp_path) == "a/b/captions.csv: it can't be read: Permission denied"


def test_images_alone_and_links_are_said(tmp_path):
    assert refusal(tmp_path) == "3 images are there, and no file that may hold captions"
    (tmp_path / "link").symlink_to(tmp_path.parent)
    assert refusal(tmp_path) == "link: a link out of the directory, followed with data.allow_links=true"
