"""WebDataset's shards: what is a sample, its captions, and what is rejected."""

import json
import os
import tarfile

import pytest

from components.caption_ingest.layout import find_layout
from tests.containers import write_parquet, write_tar

JPEG = b"\xff\xd8\xff bytes of an image"
NO_CAPTION = "no caption in .txt, .caption or .json; beside the image there is"


def rejects(data):
    return [
        (reject.source, reject.line, reject.image_id, reject.reason.value, reject.detail) for reject in data.rejects
    ]


def captions(data):
    return {image.image_id: image.captions for image in data.images}


def sample(key, text="a dog runs", **others):
    return [(f"{key}.jpg", JPEG + key.encode()), (f"{key}.txt", text), *others.items()]


def test_a_shard_is_a_data_set(tmp_path, read):
    write_tar(tmp_path / "000.tar", [*sample("0001", "a dog\n\n the cat \r\nit's 2 birds"), *sample("b/0002")])
    data = read(tmp_path)
    assert captions(data) == {
        "000.tar/0001.jpg": ("a dog", "the cat", "it's 2 birds"),
        "000.tar/b/0002.jpg": ("a dog runs",),
    }
    assert (data.num_captions, data.is_official, data.rejects) == (4, False, ())
    [first, second] = data.images
    assert first.file.uri == "000.tar/0001.jpg" and first.file.size == len(JPEG) + 4
    assert first.file.version == (tmp_path / "000.tar").stat().st_mtime_ns
    assert (first.source, first.line, second.line) == ("000.tar", 1, 2)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("1.caption", "a dog\na cat", ("a dog", "a cat")),
        ("1.CAPTION.TXT", "\ufeffa dog", ("a dog",)),
        ("1.json", {"caption": "a dog", "key": "1", "url": "x"}, ("a dog",)),
        ("1.json", {"captions": ["a dog", "a cat"]}, ("a dog", "a cat")),
        ("1.json", {"text": "a dog", "caption": None}, ("a dog",)),
        ("1.json", {"sentence": {"raw": "a dog"}}, ("a dog",)),
        ("1.JSON", {"captions": [{"caption": "a dog", "id": 4}]}, ("a dog",)),
    ],
)
def test_captions_are_where_downloaders_write_them(tmp_path, read, name, content, expected):
    text = content if isinstance(content, str) else json.dumps(content)
    write_tar(tmp_path / "0.tar", [("1.JPG", JPEG), (name, text), ("1.cls", "3"), ("__key__", "1"), ("README", "")])
    data = read(tmp_path)
    assert captions(data) == {"0.tar/1.JPG": expected} and not data.rejects


def test_text_comes_before_json_and_json_before_nothing(tmp_path, read):
    members = [*sample("1", "a dog"), ("1.json", '{"caption": "other"}')]
    members += [("2.png", JPEG), ("2.txt", " \n"), ("2.json", '{"caption": "a cat", "split": "test"}')]
    write_tar(tmp_path / "0.tar", members)
    assert [(image.captions, image.split) for image in read(tmp_path).images] == [
        (("a dog",), "train"),
        (("a cat",), "test"),
    ]


def test_shards_are_one_data_set_with_or_without_splits(tmp_path, read):
    for number in range(12):
        write_tar(tmp_path / f"{number:05d}.tar", sample("same"))
    data = read(tmp_path)
    assert len(data.images) == 12 and not data.is_official
    for name in ("train-00000-of-00002", "train-00001-of-00002", "sub/val-0", "test/0"):
        write_tar(tmp_path / "named" / f"{name}.tar", sample("same"))
    data = read(tmp_path / "named")
    assert data.is_official and [image.split for image in data.images] == ["eval", "test", "train", "train"]


def test_shards_with_and_without_splits_are_refused(tmp_path):
    for name in ("train-0", "1", *map(str, range(20, 40))):
        write_tar(tmp_path / f"{name}.tar", sample("1"))
    with pytest.raises(ValueError, match=r"several caption files in .*1\.tar, 20\.tar, .*, …\. Several are only used"):
        find_layout(str(tmp_path))


def test_split_lists_name_members(tmp_path, read):
    write_tar(tmp_path / "0.tar", [member for key in "abc" for member in sample(key)])
    for split, name in (("train", "a.jpg"), ("val", "b"), ("test", "0.tar/c.jpg")):
        (tmp_path / f"{split}.txt").write_text(f"{name}\n")
    assert [image.split for image in read(tmp_path).images] == ["train", "eval", "test"]


def test_what_is_wrong_with_a_sample_is_a_reject(tmp_path, read):
    path = write_tar(
        tmp_path / "0.tar",
        [
            *sample("ok"),
            ("only.txt", "a caption"),
            ("alone.jpg", JPEG),
            ("alone.cls", "3"),
            *sample("two.a"),
            ("two.b.jpg", JPEG),
            ("bad.png", JPEG),
            ("bad.json", "{"),
            ("latin.jpg", JPEG),
            ("latin.txt", "caf\xe9".encode("latin-1")),
            ("none.jpg", JPEG),
            ("none.json", '{"caption": null}'),
            ("words.jpg", JPEG),
            ("words.txt", "12 34"),
            ("twice.jpg", JPEG),
            ("twice.txt", "one"),
            ("twice.TXT", "two"),
            ("long.jpg", JPEG),
            ("long.txt", "word " * 400_000),
        ],
    )
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("link.txt"))
    data = read(tmp_path)
    assert captions(data) == {"0.tar/ok.jpg": ("a dog runs",)}
    assert rejects(data) == [
        ("0.tar", 2, "only", "missing_image", "no image beside only.txt"),
        ("0.tar", 3, "alone.jpg", "empty_caption", f"{NO_CAPTION} cls"),
        (
            "0.tar", 4, "two.a.jpg", "bad_line",
            "2 members of one key, which ends at the first dot: two.a.jpg, two.b.jpg",
        ),
        ("0.tar", 5, "bad.png", "bad_line", "bad.json is not JSON: Expecting property name enclosed in double quotes: "
         "line 1 column 2 (char 1)"),
        ("0.tar", 6, "latin.jpg", "bad_encoding", "latin.txt is not UTF-8 at byte 3"),
        ("0.tar", 7, "none.jpg", "empty_caption", f"{NO_CAPTION} json"),
        ("0.tar", 8, "words.jpg", "empty_caption", "no word in '12 34'"),
        (
            "0.tar", 9, "twice.jpg", "bad_line",
            "2 members of one key, which ends at the first dot: twice.txt, twice.TXT",
        ),
        ("0.tar", 10, "long.jpg", "bad_line", "long.txt has 2000000 bytes; the maximum is 1048576"),
        ("0.tar", 11, "link.jpg", "bad_line", "link.jpg is a link, which is not followed"),
    ]  # fmt: skip


def test_a_member_that_leads_out_of_the_archive_is_no_image(tmp_path, read):
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    write_tar(tmp_path / "data" / "0.tar", [*sample("ok"), *sample("../../secret")])
    data = read(tmp_path / "data")
    assert list(captions(data)) == ["0.tar/ok.jpg"]
    [reject] = data.rejects
    assert "leads out of the archive" in reject.detail


def test_other_archives_hold_no_captions(tmp_path, read):
    (tmp_path / "captions.token.txt").write_text("1.jpg#0\ta dog\n")
    (tmp_path / "1.jpg").write_bytes(JPEG)
    write_tar(tmp_path / "images.tar", [("1.jpg", JPEG)])
    write_tar(tmp_path / "text.tar", [("captions.token.txt", "1.jpg#0\ta dog\n")])
    (tmp_path / "broken.tar").write_bytes(b"")
    assert captions(read(tmp_path)) == {"1.jpg": ("a dog",)}


def test_the_metadata_that_downloaders_write_beside_shards_are_passed_over(tmp_path, read):
    write_tar(tmp_path / "00000.tar", sample("1"))
    write_parquet(tmp_path / "00000.parquet", {"url": ["u"], "caption": ["a dog"], "key": ["1"], "status": ["success"]})
    (tmp_path / "00000_stats.json").write_text('{"count": 1, "successes": 1}')
    assert captions(read(tmp_path)) == {"00000.tar/1.jpg": ("a dog runs",)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is no tar archive: it begins with b''"),
        (b"<!DOCTYPE html>", "begins with b'<!DOCTYPE html>'"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (tarfile.TarInfo("1.jpg").tobuf(), "(the archive is cut at byte 512, in its end)"),
        (tarfile.TarInfo("1.jpg").tobuf() + bytes(1024), "(none of its first members are an image"),
    ],
)
def test_a_shard_that_is_none_is_refused(tmp_path, content, reason):
    for number in range(3):
        write_tar(tmp_path / f"train-{number}.tar", sample("1"))
    (tmp_path / "train-1.tar").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"train-1\.tar has no captions in a known format, although its name is"
    ) as error:
        find_layout(str(tmp_path))
    assert reason in str(error.value)


def test_a_cut_shard_is_refused_with_its_name(tmp_path, read):
    path = write_tar(tmp_path / "train-0.tar", [member for key in range(9) for member in sample(str(key))])
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(OSError, match=r"train-0\.tar: the archive is cut at byte 6000, in .*\. Download it"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["0.tar.gz", "0.tgz", "shards/0.tar.zst"])
def test_compressed_shards_are_refused_with_the_way_out(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"\x1f\x8b")
    for caption_files in (None, name):
        with pytest.raises(
            FileNotFoundError, match=rf"{name}: a compressed archive can't be read at random; decompress"
        ):
            find_layout(str(tmp_path), caption_files)


@pytest.mark.parametrize("name", ["train-1.tar.gz", "val-0.TGZ"])
def test_a_compressed_shard_among_others_is_refused(tmp_path, read, name):
    write_tar(tmp_path / "train-0.tar", sample("1"))
    (tmp_path / name).write_bytes(b"\x1f\x8b")
    (tmp_path / "images.tar.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "train-0.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(
        ValueError, match=rf"{name} has no captions .* like that of train-0\.tar \(a compressed archive"
    ):
        find_layout(str(tmp_path))
    (tmp_path / name).unlink()
    assert len(read(tmp_path).images) == 1


def test_a_shard_behind_a_link_is_named_with_the_setting(tmp_path, read):
    write_tar(tmp_path / "elsewhere" / "0.tar", sample("1"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "0.tar").symlink_to(tmp_path / "elsewhere" / "0.tar")
    with pytest.raises(
        FileNotFoundError, match=r"0\.tar: it is a link out of the directory, .* data\.allow_links=true"
    ):
        read(tmp_path / "data")
    assert captions(read(tmp_path / "data", allow_links=True)) == {"0.tar/1.jpg": ("a dog runs",)}


def test_a_changed_shard_changes_the_fingerprint(tmp_path, read):
    path = write_tar(tmp_path / "0.tar", sample("1"))
    before = read(tmp_path).fingerprint()
    assert read(tmp_path).fingerprint() == before
    os.utime(path, ns=(7, 7))
    assert read(tmp_path).fingerprint() != before
