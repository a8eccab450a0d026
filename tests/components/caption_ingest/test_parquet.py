"""Parquet files in the layouts that people publish, and what is rejected."""

import pyarrow as pa
import pytest

from components.caption_ingest.formats.base import UnreadableFileError
from components.caption_ingest.settings import Columns
from components.shared.images import reading
from tests.containers import hf_image, write_parquet

JPEG = b"\xff\xd8\xff bytes of an image"
IMAGES = [hf_image(JPEG + bytes([number]), f"{number}.jpg") for number in range(3)]
TEXTS = ["a dog", "a cat", "a bird"]


def captions(data):
    return {image.image_id: image.captions for image in data.images}


def rejects(data):
    return [(reject.line, reject.image_id, reject.reason.value, reject.detail) for reject in data.rejects]


@pytest.mark.parametrize(
    ("columns", "types", "expected"),
    [
        ({"image": IMAGES, "caption": TEXTS}, {}, [("a dog",), ("a cat",), ("a bird",)]),
        ({"img": [JPEG] * 3, "text": TEXTS}, {"img": pa.large_binary()}, [("a dog",), ("a cat",), ("a bird",)]),
        ({"image": IMAGES, "caption": [["a dog", "it"], ["a cat"], ["x"]]}, {}, [("a dog", "it"), ("a cat",), ("x",)]),
        (
            {"image": IMAGES, "captions": [[{"raw": "a dog", "id": 1}], [{"raw": "a cat", "id": 2}], [{"raw": "x"}]]},
            {},
            [("a dog",), ("a cat",), ("x",)],
        ),
        (
            {"caption_0": TEXTS, "caption_1": ["it", None, "that"], "image": IMAGES},
            {},
            [("a dog", "it"), ("a cat",), ("a bird", "that")],
        ),
        (
            {"Image": IMAGES, "Caption": TEXTS, "image_id": [7, 8, 9]},
            {"Caption": pa.dictionary(pa.int8(), pa.string()), "Image": pa.struct([("bytes", pa.binary())])},
            [("a dog",), ("a cat",), ("a bird",)],
        ),
    ],
)  # fmt: skip
def test_columns_are_found(tmp_path, read, columns, types, expected):
    write_parquet(tmp_path / "a.parquet", columns, types)
    data = read(tmp_path)
    assert captions(data) == {f"a.parquet/{row}": texts for row, texts in enumerate(expected)} and not data.rejects
    assert [image.line for image in data.images] == [0, 1, 2]


def test_splits_are_those_of_the_names_or_of_a_column(tmp_path, read):
    for name in (
        "data/train-00000-of-00002",
        "data/train-00001-of-00002",
        "data/validation-00000-of-00001",
        "test/0000",
    ):
        write_parquet(tmp_path / f"{name}.parquet", {"image": IMAGES[:1], "caption": TEXTS[:1]})
    assert [image.split for image in read(tmp_path).images] == ["train", "train", "eval", "test"]
    columns = {"image": IMAGES, "caption": TEXTS, "split": ["test", "train", "val"]}
    write_parquet(tmp_path / "one" / "test-00000-of-00001.parquet", columns)
    assert [image.split for image in read(tmp_path / "one").images] == ["test", "train", "eval"]


def test_files_two_levels_below_are_read_and_missing_shards_told(tmp_path, read):
    for name in ("default/train/0000", "default/test/0000", "more/val/train-00001-of-00003"):
        write_parquet(tmp_path / f"{name}.parquet", {"image": IMAGES[:1], "caption": TEXTS[:1]})
    data = read(tmp_path)
    assert [(image.split, image.image_id) for image in data.images] == [
        ("test", "default/test/0000.parquet/0"),
        ("train", "default/train/0000.parquet/0"),
        ("train", "more/val/train-00001-of-00003.parquet/0"),
    ]
    missing = "more/val/train-00000-of-00003 is not read: it is missing; 1 of 3 shards are there"
    assert data.warnings == (missing,)


def test_rows_are_images_in_their_order(tmp_path, read):
    write_parquet(tmp_path / "a.parquet", {"image": IMAGES * 40, "caption": [f"dog {n}" for n in range(120)]}, group=50)
    assert captions(read(tmp_path)) == {f"a.parquet/{row}": (f"dog {row}",) for row in range(120)}


def test_what_is_wrong_with_a_row_is_a_reject(tmp_path, read):
    columns = {
        "image": [None, hf_image(None), hf_image(None, "gone.jpg"), *IMAGES, *IMAGES[:2]],
        "caption": [["x"], ["x"], ["x"], None, [], ["", "a dog"], ["a dog"], [None, "a cat"]],
        "split": ["test", "test", "test", "test", "test", "test", "nosplit", "test"],
    }
    write_parquet(tmp_path / "a.parquet", columns, group=3)
    data = read(tmp_path)
    assert captions(data) == {"a.parquet/5": ("a dog",), "a.parquet/7": ("a cat",)}
    no_image = "the row has neither an image's bytes nor a path"
    assert [reject[:3] for reject in rejects(data)] == [
        (0, "", "missing_image"),
        (1, "", "missing_image"),
        (3, "3", "empty_caption"),
        (4, "4", "empty_caption"),
        (5, "5", "empty_caption"),
        (6, "6", "bad_line"),
        (7, "7", "bad_line"),
        (2, "gone.jpg", "missing_image"),
    ]
    assert rejects(data)[0][3] == no_image and rejects(data)[2][3] == "the row has no caption"


def test_a_row_with_nothing_but_a_path_names_a_file(tmp_path, read):
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images" / name).write_bytes(JPEG + name.encode())
    write_parquet(tmp_path / "a.parquet", {"image": [hf_image(None, "images/a.jpg"), IMAGES[1]], "caption": TEXTS[:2]})
    assert [image.file.uri for image in read(tmp_path).images] == ["a.parquet/1", "images/a.jpg"]
    write_parquet(tmp_path / "a.parquet", {"file_name": ["a.jpg", "b.jpg"], "caption": TEXTS[:2]})
    assert [image.file.uri for image in read(tmp_path).images] == ["images/a.jpg", "images/b.jpg"]


def test_rows_that_their_authors_have_flagged_are_rejects(tmp_path, read):
    flags = {"is_rejected": [False, True, None], "is_precanned": [True, False, False]}
    write_parquet(tmp_path / "a.parquet", {"image": IMAGES, "caption": TEXTS, **flags})
    data = read(tmp_path)
    assert captions(data) == {"a.parquet/2": ("a bird",)}
    assert [reject[:3] for reject in rejects(data)] == [(0, "0", "flagged"), (1, "1", "flagged")]


def test_text_that_is_not_utf_8_is_a_reject(tmp_path, read):
    broken = pa.array([b"a dog", b"caf\xe9", b"a bird"], pa.binary()).view(pa.string())
    write_parquet(tmp_path / "a.parquet", {"image": IMAGES, "caption": broken})
    data = read(tmp_path)
    assert list(captions(data)) == ["a.parquet/0", "a.parquet/2"]
    assert rejects(data) == [(1, "1", "bad_encoding", "a text of the row is not UTF-8")]


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        ({"image": IMAGES, "english": TEXTS}, "caption"),
        ({"left": [JPEG] * 3, "right": [JPEG] * 3, "caption": TEXTS}, "image"),
    ],
)
def test_columns_that_are_not_clear_are_refused_with_the_setting(tmp_path, read, columns, missing):
    write_parquet(tmp_path / "a.parquet", columns)
    message = rf"a\.parquet: which column has the {missing}s is not clear; set data\.columns\.{missing} to one of "
    with pytest.raises(UnreadableFileError, match=message + next(iter(columns))):
        read(tmp_path)


def test_columns_are_those_of_the_settings(tmp_path, read):
    columns = {
        "image": IMAGES,
        "crop": [JPEG + b"crop"] * 3,
        "text": TEXTS,
        "de_1": ["ein Hund"] * 3,
        "de_2": [None] * 3,
    }
    write_parquet(tmp_path / "a.parquet", columns, {"de_2": pa.string()})
    data = read(tmp_path, format="parquet", columns=Columns(image="crop", caption="de_*"))
    assert captions(data) == {f"a.parquet/crop/{row}": ("ein Hund",) for row in range(3)}
    path = str(tmp_path / data.images[0].file.uri)
    assert reading.read_bytes(path) == JPEG + b"crop"
    with pytest.raises(UnreadableFileError, match=r"which column has the images is not clear"):
        read(tmp_path, columns=Columns(image="text_"))


def test_a_cut_file_is_refused_with_its_name(tmp_path, read):
    path = write_parquet(tmp_path / "train-0.parquet", {"image": IMAGES, "caption": TEXTS})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(OSError, match=r"train-0\.parquet: it can't be read as Parquet \(.*\)\. Download it"):
        read(tmp_path)


def test_a_shard_that_is_a_pointer_is_refused(tmp_path, read):
    for number in range(2):
        write_parquet(tmp_path / f"{number}.parquet", {"image": IMAGES, "caption": TEXTS})
    (tmp_path / "1.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ValueError, match=r"1\.parquet has no captions .* Git LFS pointer; download the file itself"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("columns", "listed"),
    [
        ({"text": TEXTS, "captions": [["a dog", "it"], ["a cat"], ["a hen"]]}, "'text' and 'captions'"),
        ({"caption": TEXTS, "caption_ls": [["a dog", "it"], ["a cat"], ["a hen"]]}, "'caption' and 'caption_ls'"),
        ({"caption": TEXTS, "caption_de": ["ein brauner Hund"] * 3}, "'caption' and 'caption_de'"),
    ],
)
def test_several_columns_of_captions_are_refused_unless_one_is_chosen(tmp_path, read, columns, listed):
    write_parquet(tmp_path / "a.parquet", {"image": IMAGES, **columns})
    with pytest.raises(
        UnreadableFileError, match=rf"a.parquet: the columns {listed} may both hold the caption; choose"
    ):
        read(tmp_path)
    for name, values in columns.items():
        expected = [tuple(value) if isinstance(value, list) else (value,) for value in values]
        assert list(captions(read(tmp_path, columns=Columns(caption=name))).values()) == expected


def test_equal_captions_and_what_is_about_captions_are_no_conflict(tmp_path, read):
    others = {"text": TEXTS, "caption_source": ["the crowd"] * 3, "caption_id": ["1", "2", "3"]}
    write_parquet(tmp_path / "a.parquet", {"image": IMAGES, "caption": TEXTS, **others})
    assert list(captions(read(tmp_path)).values()) == [("a dog",), ("a cat",), ("a bird",)]
