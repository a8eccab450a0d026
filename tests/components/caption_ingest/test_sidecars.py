"""Captions in a small file beside each image, as downloaders and fine-tuning tools write them."""

import json

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from components.caption_ingest.formats import sidecars
from components.caption_ingest.rejects import Reason


@pytest.fixture
def write(tmp_path):
    """Writes files: name -> text; images get one by themselves."""

    def write_files(**texts: str | bytes):
        for name, text in texts.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write_files


def captions(data) -> dict[str, tuple[str, ...]]:
    return {image.image_id: image.captions for image in data.images}


@pytest.mark.parametrize("suffix", [".txt", ".caption", ".TXT"])
@pytest.mark.parametrize("image", ["a.jpg", "a.PNG", "deep/er/a b.webp"])
def test_each_line_of_a_text_beside_an_image_is_a_caption(write, read, image, suffix):
    stem = image.rpartition(".")[0]
    text = b"\xef\xbb\xbfA dog runs .\r\n\r\nThe dog barks .\n"
    data = read(write(**{image: b"1", f"{stem}{suffix}": text, "README.txt": "Images of dogs.\n", "LICENSE": "CC0\n"}))
    assert data.layout.format.name == "sidecars"
    assert captions(data) == {image: ("A dog runs .", "The dog barks .")} and not data.warnings and not data.rejects


def test_a_sidecar_may_have_the_whole_name_of_its_image(write, read):
    data = read(write(**{"a.jpg": b"1", "a.jpg.txt": "A dog", "b.jpg": b"2", "b.jpg.json": '{"text": "A cat"}'}))
    assert captions(data) == {"a.jpg": ("A dog",), "b.jpg": ("A cat",)}


def img2dataset(caption: str | None, **more) -> str:
    return json.dumps({"caption": caption, "url": "http://x/a.jpg", "key": "0", "status": "success", **more}, indent=4)


def test_what_img2dataset_writes_twice_counts_once(write, read):
    files = {"00000_stats.json": '{"count": 3}'}
    for number, caption in enumerate(("A dog .", "A cat, and\ta dog", "Two\ncats")):
        files |= {f"00000/{number}.jpg": b"%d" % number, f"00000/{number}.txt": caption}
        files[f"00000/{number}.json"] = img2dataset(caption)
    root = write(**files)
    index = pa.table({"key": ["0"], "url": ["http://x/a.jpg"], "caption": ["A dog ."], "width": [640]})
    pq.write_table(index, root / "00000.parquet")
    data = read(root)
    assert captions(data) == {
        "00000/0.jpg": ("A dog .",),
        "00000/1.jpg": ("A cat, and a dog",),
        "00000/2.jpg": ("Two", "cats"),
    }
    assert not data.warnings and not data.rejects and data.num_captions == 4


def test_a_json_beside_an_image_may_hold_the_captions_alone_or_more_of_them(write, read):
    files = {"a.jpg": b"1", "a.json": '{"captions": ["A dog", "A hound"]}', "b.jpg": b"2", "b.txt": "A cat"}
    data = read(write(**files, **{"b.json": '{"caption": ["A cat", "A tabby"], "is_rejected": false}'}))
    assert captions(data) == {"a.jpg": ("A dog", "A hound"), "b.jpg": ("A cat", "A tabby")}


def test_directories_state_the_splits(write, read):
    files = {}
    for number, split in enumerate(("train", "val2017", "Test", "test tubes")):
        files |= {f"{split}/{number}.jpg": b"%d" % number, f"{split}/{number}.txt": f"number {split}"}
    data = read(write(**files))
    assert {image.image_id: image.split for image in data.images} == {
        "train/0.jpg": "train",
        "val2017/1.jpg": "eval",
        "Test/2.jpg": "test",
        "test tubes/3.jpg": "train",
    }
    assert data.is_official
    alone = read(write(**{f"train/{n}.jpg": b"%d" % n for n in range(9)}) / "train")
    assert not alone.is_official


def test_lists_state_the_splits(write, read):
    files = {f"images/{n}.jpg": b"%d" % n for n in range(3)} | {f"images/{n}.txt": f"A dog {n}" for n in range(3)}
    lists = {"train.txt": "0.jpg\n", "val.txt": "1.jpg\n", "flickr8ktest.txt": "2.jpg\n"}
    data = read(write(**files, **lists))
    assert [image.split for image in data.images] == ["train", "eval", "test"] and not data.warnings


def test_a_sidecar_that_is_no_caption_is_rejected_with_its_name(write, read, monkeypatch):
    monkeypatch.setattr(sidecars, "MAX_BYTES", 100)
    files = {f"{n}.jpg": b"%d" % n for n in range(10)} | {f"{n}.txt": f"A dog {n}" for n in range(6)}
    data = read(write(**files, **{"6.txt": "", "7.txt": b"caf\xe9", "8.txt": "a " * 60, "9.txt": "A dog\n .,! \n"}))
    assert [(reject.source, reject.line, reject.reason) for reject in data.rejects] == [
        ("6.txt", 1, Reason.EMPTY_CAPTION),
        ("7.txt", 1, Reason.BAD_ENCODING),
        ("8.txt", 1, Reason.BAD_LINE),
        ("9.txt", 2, Reason.EMPTY_CAPTION),
    ]
    assert "9.jpg" in captions(data) and read(write(), encoding="cp1252").rejects[0].source == "6.txt"


@pytest.mark.parametrize("label", ["0 0.5 0.5 0.2 0.3\n", "", "1\n2\n"])
def test_boxes_beside_images_are_no_captions(write, read, label):
    files = {f"{n}.jpg": b"%d" % n for n in range(3)} | {f"{n}.txt": label for n in range(3)}
    with pytest.raises(FileNotFoundError, match="no captions"):
        read(write(**files))
    data = read(write(**{"captions.csv": "image,caption\n0.jpg,A dog\n"}))
    assert captions(data) == {"0.jpg": ("A dog",)} and not data.warnings


def test_sidecars_and_a_caption_file_are_refused_until_one_is_chosen(write, read):
    files = {f"{n}.jpg": b"%d" % n for n in range(3)} | {f"{n}.txt": f"A dog {n}" for n in range(3)}
    root = write(**files, **{"captions.csv": "image,caption\n0.jpg,A cat\n"})
    with pytest.raises(ValueError, match=r"several formats .*\n  captions.csv: table\n  \*\*/\*.txt: sidecars"):
        read(root)
    assert captions(read(root, caption_files="captions.csv")) == {"0.jpg": ("A cat",)}
    assert captions(read(root, format="table")) == {"0.jpg": ("A cat",)}
    assert captions(read(root, caption_files="*.csv", format="table")) == {"0.jpg": ("A cat",)}
    assert captions(read(root, format="sidecars")) == captions(read(root, caption_files="**/*.txt"))
    assert captions(read(root, caption_files="**/*.txt")) == {f"{n}.jpg": (f"A dog {n}",) for n in range(3)}


def test_a_few_texts_beside_images_are_told(write, read):
    files = {f"{n}.jpg": b"%d" % n for n in range(9)} | {"0.txt": "notes about 0"}
    data = read(write(**files, **{"captions.csv": "image,caption\n0.jpg,A cat\n"}))
    assert captions(data) == {"0.jpg": ("A cat",)}
    assert data.warnings == ("0.txt is not read: 1 texts beside images, as this one, are no caption files",)


def test_sidecars_behind_links_are_read_only_if_that_is_allowed(write, read):
    root = write(**{"nas/a.jpg": b"1", "nas/a.txt": "A dog", "nas/secret": "A cat", "data/own/b.jpg": b"2"})
    data_dir = root / "data"
    (data_dir / "Images").symlink_to(root / "nas")
    (data_dir / "own" / "b.txt").symlink_to(root / "nas" / "secret")
    (root / "nas" / "again").symlink_to(root / "nas")  # links may go in circles
    with pytest.raises(FileNotFoundError, match="no captions"):
        read(data_dir)
    assert captions(read(data_dir, allow_links=True)) == {"Images/a.jpg": ("A dog",), "own/b.jpg": ("A cat",)}
    (data_dir / "own" / "b.txt").unlink()
    (data_dir / "own" / "text").write_text("A hound")
    (data_dir / "own" / "b.txt").symlink_to("text")
    assert captions(read(data_dir)) == {"own/b.jpg": ("A hound",)}


def test_of_a_caption_and_other_tags_the_caption_is_read_and_the_tags_are_told(tmp_path, read):
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_text(str(number))
        (tmp_path / f"{number}.caption").write_text(f"A girl {number} smiles")
        (tmp_path / f"{number}.txt").write_text("1girl, solo, smile")
    data = read(tmp_path)
    assert [image.captions for image in data.images] == [(f"A girl {number} smiles",) for number in range(3)]
    assert data.warnings == (
        "0.txt is not read: 3 texts, as this one, differ from the .caption beside them, which is read; "
        "data.caption_files='**/*.txt' takes the texts",
    )
    chosen = read(tmp_path, caption_files="**/*.txt")
    assert {image.captions for image in chosen.images} == {("1girl, solo, smile",)} and not chosen.warnings


def test_equal_texts_in_two_sidecars_count_once(tmp_path, read):
    (tmp_path / "a.jpg").write_text("a")
    for name in ("a.caption", "a.txt"):
        (tmp_path / name).write_text("A girl smiles")
    data = read(tmp_path)
    assert data.num_captions == 1 and not data.warnings


def test_a_text_beside_two_images_of_its_name_is_a_reject_for_both(tmp_path, read):
    for name in ("a.jpg", "a.png", "b.jpg", "c.jpg"):
        (tmp_path / name).write_text(name)
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text(f"A dog in {name}")
    data = read(tmp_path)
    assert [image.image_id for image in data.images] == ["b.jpg", "c.jpg"]
    assert [(reject.image_id, reject.reason.value, reject.detail) for reject in data.rejects] == [
        (name, "ambiguous_name", "a.txt may be about a.jpg or a.png; call it a.jpg.txt") for name in ("a.jpg", "a.png")
    ]
    (tmp_path / "a.txt").rename(tmp_path / "a.jpg.txt")
    data = read(tmp_path)
    assert [image.image_id for image in data.images] == ["a.jpg", "b.jpg", "c.jpg"] and not data.rejects
