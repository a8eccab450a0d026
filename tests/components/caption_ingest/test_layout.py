import json
import os

import pytest

from components.caption_ingest.formats.coco import Coco
from components.caption_ingest.formats.flickr_tokens import FlickrTokens
from components.caption_ingest.formats.table import Table
from components.caption_ingest.layout import Layout, find_layout
from tests.factories import write_data_set

LINE = "a.jpg#0\tA dog\n"
TABLE = "image,caption\na.jpg,A dog\n"
COCO = json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "A dog"}]})


def names(layout: Layout) -> list[tuple[str, str | None]]:
    return [(file.source.path.name, file.split) for file in layout.captions]


def test_flickr8ks_own_layout_is_found(tmp_path):
    text = tmp_path / "Flickr8k_text"
    text.mkdir()
    for name in ("Flickr8k.token.txt", "Flickr8k.lemma.token.txt", "._Flickr8k.token.txt"):
        (text / name).write_text(LINE)
    (text / "ExpertAnnotations.txt").write_text("a.jpg\tb.jpg#2\t1\t1\t1\n")
    (text / "readme.txt").write_text("Captions for the images, one per line.\n")
    for name in ("train", "dev", "test"):
        (text / f"Flickr_8k.{name}Images.txt").write_text(f"{name}.jpg\n")
    layout = find_layout(str(tmp_path))
    assert (layout.format.name, names(layout)) == (FlickrTokens.name, [("Flickr8k.token.txt", None)])
    assert {split: source.path.name for split, source in layout.lists.items()} == {
        "train": "Flickr_8k.trainImages.txt",
        "eval": "Flickr_8k.devImages.txt",
        "test": "Flickr_8k.testImages.txt",
    }
    assert len(layout.files()) == 4


@pytest.mark.parametrize("name", ["captions.txt", "results.csv", "data", "train.txt"])
def test_the_name_of_a_file_does_not_matter(tmp_path, name):
    (tmp_path / name).write_text(TABLE)
    layout = find_layout(str(tmp_path))
    assert (layout.format.name, names(layout), layout.lists) == (Table.name, [(name, None)], {})


def test_cocos_captions_are_distinguished_from_its_other_annotations(tmp_path):
    annotations = tmp_path / "annotations"
    annotations.mkdir()
    for name in ("captions_train2014.json", "captions_val2014.json"):
        (annotations / name).write_text(COCO)
    (annotations / "instances_val2014.json").write_text('{"images": [], "annotations": [{"bbox": [1]}]}')
    layout = find_layout(str(tmp_path))
    assert layout.format.name == Coco.name
    assert names(layout) == [("captions_train2014.json", "train"), ("captions_val2014.json", "eval")]


def test_a_document_of_images_without_captions_is_told(tmp_path):
    for name in ("train.json", "val.json"):  # VizWiz
        (tmp_path / name).write_text(COCO)
    (tmp_path / "test.json").write_text('{"info": {}, "images": [{"file_name": "b.jpg", "id": 0}]}')
    layout = find_layout(str(tmp_path))
    assert names(layout) == [("train.json", "train"), ("val.json", "eval")]
    assert layout.warnings == ["test.json is not read: it names images without captions"]


def test_the_name_of_a_single_file_states_no_split(tmp_path):
    (tmp_path / "captions_train2014.json").write_text(COCO)
    assert names(find_layout(str(tmp_path))) == [("captions_train2014.json", None)]


def test_the_directory_may_state_the_split(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "metadata.jsonl").write_text('{"file_name": "0.png", "text": "A dog"}\n')
    assert names(find_layout(str(tmp_path))) == [("metadata.jsonl", "test"), ("metadata.jsonl", "train")]


def test_one_of_several_files_can_be_chosen(tmp_path):
    (tmp_path / "captions.token.txt").write_text(LINE)
    (tmp_path / "captions.csv").write_text(TABLE)
    for name in ("captions_train2014.json", "captions_train2017.json", "captions_val2017.json"):
        (tmp_path / name).write_text(COCO)
    with pytest.raises(ValueError, match=r"(?s)several formats.*data.caption_files=FILE.*captions.csv: table"):
        find_layout(str(tmp_path))
    assert find_layout(str(tmp_path), "captions.csv").format.name == Table.name
    layout = find_layout(str(tmp_path), "captions_*2017.json")
    assert names(layout) == [("captions_train2017.json", "train"), ("captions_val2017.json", "eval")]


BROKEN = {
    "a control character": ("csv", TABLE + "b.jpg,a\0cat\n"),
    "a broken first line": ("jsonl", '{"image": "a.jpg", "cap\n{"image": "b.jpg", "caption": "A dog"}\n'),
    "a first line about the file": ("jsonl", '{"version": 1}\n{"image": "b.jpg", "caption": "A dog"}\n'),
}


@pytest.mark.parametrize(("suffix", "text"), BROKEN.values(), ids=BROKEN)
def test_a_bad_line_does_not_hide_a_file(tmp_path, suffix, text):
    for split, content in {"train": text, "test": TABLE if suffix == "csv" else text.splitlines()[1]}.items():
        (tmp_path / f"captions_{split}.{suffix}").write_text(content)
    assert [split for _, split in names(find_layout(str(tmp_path)))] == ["test", "train"]


@pytest.mark.parametrize("text", ["Captions of Flickr\n" + TABLE, ""])
@pytest.mark.parametrize("caption_files", [None, "captions_*.csv"])
def test_a_split_whose_file_has_an_unknown_format_is_not_ignored(tmp_path, text, caption_files):
    (tmp_path / "captions_test.csv").write_text(TABLE)
    (tmp_path / "captions_train.csv").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"captions_train.csv has no captions in a known format, although "):
        find_layout(str(tmp_path), caption_files)
    assert names(find_layout(str(tmp_path), "captions_test.csv")) == [("captions_test.csv", None)]


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train.txt", "validation.txt", "test.txt"),
        ("train_split.txt", "valid_split.txt", "test_split.txt"),
        ("Flickr_8k.trainImages.txt", "Flickr_8k.devImages.txt", "Flickr_8k.testImages.txt"),
        ("flickr30k_train.txt", "flickr30k_val.txt", "flickr30k_test.txt"),
        ("train_ids.txt", "eval_ids.txt", "test-list.txt"),
    ],
)
def test_lists_are_found_by_the_usual_names(tmp_path, train, val, test):
    (tmp_path / "captions.csv").write_text(TABLE)
    for name in (train, val, test):
        (tmp_path / name).write_text("a.jpg\n")
    lists = {split: source.path.name for split, source in find_layout(str(tmp_path)).lists.items()}
    assert lists == {"train": train, "eval": val, "test": test}


@pytest.mark.parametrize("caption_files", ["../a.csv", "/etc/*", "x/../../a.csv"])
def test_a_pattern_that_leads_out_of_the_directory_is_refused(tmp_path, caption_files):
    (tmp_path / "a.csv").write_text(TABLE)
    (tmp_path / "data").mkdir()
    with pytest.raises(ValueError, match=r"data.caption_files: .* points outside the data directory"):
        find_layout(str(tmp_path / "data"), caption_files)


@pytest.mark.parametrize("name", ["captions.csv", "trainImages.txt"])
def test_a_link_that_leads_out_of_the_directory_is_refused(tmp_path, name):
    data = tmp_path / "data"
    write_data_set(data, LINE)
    (tmp_path / "secret").write_text(LINE if name == "captions.csv" else "a.jpg\n")
    (data / "captions.token.txt").rename(data / "inside")
    (data / "captions.token.txt").symlink_to("inside")  # links inside the directory are allowed
    assert find_layout(str(data), "captions.token.txt").captions
    (data / name).symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match=rf"{name} is a link that points outside the data directory"):
        find_layout(str(data), "captions.csv" if name == "captions.csv" else "inside")
    layout = find_layout(str(data), "captions.csv" if name == "captions.csv" else "inside", allow_links=True)
    assert data / name in layout.files()


def test_captions_in_a_linked_directory_are_read_where_links_are_allowed(tmp_path):
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    write_data_set(elsewhere, LINE)
    (data / "annotations").symlink_to(elsewhere)
    (data / "again").symlink_to(data)  # leads to no other file
    with pytest.raises(FileNotFoundError):
        find_layout(str(data))
    assert names(find_layout(str(data), allow_links=True)) == [("captions.token.txt", None)]


def test_inaccessible_entries_are_ignored(tmp_path):
    data = tmp_path / "data"
    write_data_set(data, LINE)
    (data / "self").symlink_to("self")
    (data / "elsewhere").symlink_to("/proc")
    os.mkfifo(data / "pipe")
    (tmp_path / "other.csv").write_text(TABLE)
    (data / "link.csv").symlink_to(tmp_path / "other.csv")  # not even opened
    assert find_layout(str(data)).format.name == FlickrTokens.name


def test_missing_and_ambiguous_files_are_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a directory"):
        find_layout(str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match=r"(?s)no captions in .*NAME.jpg#0<TAB>sentence.*image,caption"):
        find_layout(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no captions in b.csv of"):
        find_layout(str(tmp_path), "b.csv")
    for name in ("a.token.txt", "b.token.txt"):
        (tmp_path / name).write_text(LINE)
    with pytest.raises(ValueError, match=r"several caption files in .*: a.token.txt, b.token.txt"):
        find_layout(str(tmp_path))
    (tmp_path / "b.token.txt").unlink()
    for name in ("trainImages.txt", "my_train.txt"):
        (tmp_path / name).write_text("a.jpg\n")
    with pytest.raises(ValueError, match="several train split lists"):
        find_layout(str(tmp_path))


def test_images_are_not_opened_in_search_of_captions(tmp_path):
    write_data_set(tmp_path, LINE)
    (tmp_path / "a.jpg").write_text(TABLE)
    (tmp_path / "weights.bin").write_bytes(b"image,caption\n\0\xff")
    assert find_layout(str(tmp_path)).format.name == FlickrTokens.name


def test_names_that_are_not_utf_8_are_ignored(tmp_path, caplog):
    write_data_set(tmp_path, LINE)
    (tmp_path / os.fsdecode(b"caf\xe9.csv")).write_text(TABLE)
    (tmp_path / os.fsdecode(b"d\xe9j\xe0")).mkdir()
    (tmp_path / os.fsdecode(b"d\xe9j\xe0") / "captions.csv").write_text(TABLE)
    for caption_files in (None, "*aptions*"):
        assert names(find_layout(str(tmp_path), caption_files)) == [("captions.token.txt", None)]
    assert "caf\\xe9.csv" in caplog.text
    with pytest.raises(ValueError, match=r"caf.*is not UTF-8") as error:
        find_layout(str(tmp_path), "caf*.csv")
    assert str(error.value).encode()
