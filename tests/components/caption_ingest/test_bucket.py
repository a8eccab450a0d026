"""A data directory in a bucket: read as one on a disk, by one listing where nothing has changed."""

import dataclasses
import os
import pathlib
import posixpath
import zipfile

import pytest

from benchmarks import s3_store
from components.caption_ingest import dataset, outline, spans
from components.caption_ingest.dataset import DataSet
from components.caption_ingest.rejects import Reason
from components.caption_ingest.settings import CaptionIngestSettings
from components.shared import node_cache, object_store, storage
from components.shared.images import containers as containers_module
from components.shared.images import reading
from components.shared.storage_entry import Entry
from tests import containers
from tests.containers import hf_image, write_tar
from tests.factories import encode

LISTING = ""  # a request of `Relay`


def upload(directory: pathlib.Path, uri: str) -> None:
    """Copies a directory into a bucket."""
    for path in directory.rglob("*"):
        if path.is_file():
            storage.write_bytes(f"{uri}/{path.relative_to(directory).as_posix()}", path.read_bytes())


def content(data: DataSet) -> DataSet:
    """A data set without what differs between a disk and a bucket."""
    images = [
        dataclasses.replace(
            image,
            file=dataclasses.replace(image.file, version=0),
            identical_files=tuple(dataclasses.replace(file, version=0) for file in image.identical_files),
        )
        for image in data.images
    ]
    return dataclasses.replace(data, data_dir="", layout=None, images=tuple(images))


def write_sidecars(root: pathlib.Path, image: bytes) -> None:
    for split in ("train", "val", "test"):
        (root / split).mkdir()
        for number in range(3):
            (root / split / f"{number}.jpg").write_bytes(image)
            (root / split / f"{number}.txt").write_text(f"a {split} dog\nnumber {number} ü\n")


def write_tables(root: pathlib.Path, image: bytes) -> None:
    (root / "pictures" / "deep").mkdir(parents=True)
    rows = "".join(f"{number}.jpg,A dog says {number}\n" for number in range(4))
    (root / "captions.csv").write_bytes(
        f"image,caption\n{rows}gone.jpg,It is packed\nlost.jpg,It is not\n".encode("cp1252")
    )
    for number in range(4):
        (root / "pictures" / "deep" / f"{number}.jpg").write_bytes(image)
    (root / "pictures" / "0.jpg").write_bytes(image)  # a copy
    (root / ".hidden").mkdir()
    (root / ".hidden" / "lost.jpg").write_bytes(image)
    (root / "weights.h5").write_bytes(bytes(range(256)) * 1000)
    with zipfile.ZipFile(root / "images.zip", "w") as archive:
        archive.writestr("gone.jpg", image)


def write_shards(root: pathlib.Path, image: bytes) -> None:
    for split in ("train", "val", "test"):
        keys = [f"{split}{number}" for number in range(3)]
        members = [(name, data) for key in keys for name, data in ((f"{key}.jpg", image), (f"{key}.txt", "A dog"))]
        write_tar(root / f"{split}-000.tar", members)


def write_parquet(root: pathlib.Path, image: bytes) -> None:
    for split in ("train", "validation", "test"):
        columns = {"image": [hf_image(image)] * 3, "caption": [f"a {split} dog {number}" for number in range(3)]}
        containers.write_parquet(root / "data" / f"{split}-00000-of-00001.parquet", columns)


@pytest.mark.parametrize("write", [write_sidecars, write_tables, write_shards, write_parquet])
def test_the_same_data_is_read_as_from_a_disk(tmp_path, bucket, image, read, write):
    write(tmp_path, encode(image))
    upload(tmp_path, f"{bucket}/my data")
    on_disk, in_bucket = read(tmp_path), read(f"{bucket}/my data/")
    assert content(in_bucket) == content(on_disk)
    assert in_bucket.data_dir == f"{bucket}/my data"
    assert on_disk.images and in_bucket.fingerprint() == read(f"{bucket}/my data").fingerprint()


def test_splits_and_rejects_are_those_of_the_disk(data_dir, bucket, read):
    with (data_dir / "captions.token.txt").open("ab") as file:
        file.write(b"a.jpg#2\tnot UTF-8: \xff\nnonsense\n")
    upload(data_dir, bucket)
    data = read(bucket)
    assert content(data) == content(read(data_dir))
    assert {reject.reason for reject in data.rejects} == {Reason.MISSING_IMAGE, Reason.BAD_ENCODING, Reason.BAD_LINE}


def test_an_unchanged_bucket_costs_one_listing(data_dir, bucket, relayed, read):
    upload(data_dir, bucket)
    relayed.read()
    first = read(bucket)
    assert relayed.read() == [LISTING, "captions.token.txt", "devImages.txt", "testImages.txt", "trainImages.txt"]
    assert read(bucket) == first
    assert relayed.read() == [LISTING]


def test_after_a_change_only_the_changed_texts_are_read(data_dir, bucket, relayed, read):
    upload(data_dir, bucket)
    before = read(bucket)
    storage.write_text(f"{bucket}/testImages.txt", "b.jpg\n")
    storage.write_text(f"{bucket}/devImages.txt", "c.jpg\n")
    storage.write_bytes(f"{bucket}/images/d.jpg", b"new")
    relayed.read()
    after = read(bucket)
    assert relayed.read() == [LISTING, "devImages.txt", "testImages.txt"]
    assert after.fingerprint() != before.fingerprint()
    assert {image.image_id: image.split for image in after.images}["b.jpg"] == "test"


def test_an_image_of_the_same_size_and_other_bytes_has_another_fingerprint(data_dir, bucket, read):
    upload(data_dir, bucket)
    before = read(bucket).fingerprint()
    storage.write_bytes(f"{bucket}/images/a.jpg", b"A.jpg")
    assert read(bucket).fingerprint() != before
    storage.write_bytes(f"{bucket}/images/a.jpg", b"a.jpg")
    assert read(bucket).fingerprint() == before


def test_an_archive_is_read_once(tmp_path, bucket, image, read, relayed):
    write_shards(tmp_path, encode(image))
    upload(tmp_path, bucket)
    relayed.read()
    data = read(bucket)
    relayed.read()
    paths = [f"{bucket}/{image.file.uri}" for image in data.images]
    assert [*reading.read_many(paths)] == [encode(image)] * 9
    assert all(
        reading.is_unchanged(path, b"", image.file.size, image.file.version)
        for path, image in zip(paths, data.images, strict=True)
    )
    assert relayed.read() == []
    storage.write_bytes(f"{bucket}/val-000.tar", storage.read_bytes(f"{bucket}/test-000.tar"))
    containers_module._entries.clear()  # some seconds later
    val = next(image.file for image in data.images if image.split == "eval")
    with pytest.raises(FileNotFoundError):
        reading.is_unchanged(f"{bucket}/{val.uri}", b"", val.size, val.version)


def test_an_archive_that_is_not_copied_is_read_at_random(tmp_path, bucket, image, read, monkeypatch):
    write_shards(tmp_path, encode(image))
    upload(tmp_path, bucket)
    monkeypatch.setattr(containers_module, "MAX_COPIED", 0)
    data = read(bucket)
    assert content(data) == content(read(tmp_path))
    assert [*reading.read_many([f"{bucket}/{data.images[0].file.uri}"])] == [encode(image)]
    assert not list(pathlib.Path(node_cache.directory()).glob("entries/*/*.tar"))


def test_listings_are_paged(data_dir, bucket, relayed, read):
    upload(data_dir, bucket)
    expected = read(bucket)
    relayed.read()
    events = object_store._filesystem(bucket)[0].s3.meta.events
    events.register("before-parameter-build.s3.ListObjectsV2", lambda params, **_: params.update(MaxKeys=5))
    assert read(bucket) == expected
    assert relayed.read() == [LISTING] * 2


def test_of_large_files_only_texts_are_read_as_a_whole(tmp_path, bucket, relayed, read):
    rows = "".join(f"{number}.jpg,A dog that has the number {number}\n" for number in range(3000))
    (tmp_path / "captions.csv").write_text(f"image,caption\n{rows}")
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"1")
    (tmp_path / "weights.bin").write_bytes(os.urandom(300_000))
    upload(tmp_path, bucket)
    relayed.read()
    data = read(bucket)
    assert (len(data.images), data.num_captions) == (3, 3000)
    assert relayed.read().count("captions.csv") == 3  # the beginning, all of it, and whether it is still the same
    [found] = pathlib.Path(node_cache.directory()).rglob("weights.bin")
    assert (found.stat().st_size, found.stat().st_blocks * 512 < 200_000) == (300_000, True)


KEYS = ["a//b.jpg", "a/../../../escaped.jpg", "a/./b.jpg", "/absolute.jpg", "a\x01.jpg", f"{'x' * 256}.jpg", "images"]


def test_keys_that_no_file_can_have_are_skipped_and_told(data_dir, bucket, read, monkeypatch):
    upload(data_dir, bucket)
    expected, list_tree = read(bucket), object_store.list_tree
    # stores differ in which of these they take
    strange = {key: Entry(posixpath.basename(key), 1, 0.0, version="1") for key in KEYS}
    monkeypatch.setattr(object_store, "list_tree", lambda uri: list_tree(uri) | strange)
    data = read(bucket)
    [warning] = data.warnings
    assert warning.startswith(f"{len(KEYS)} objects of {bucket} are skipped, such as 'a//b.jpg': a file can't have ")
    assert data.images == expected.images
    assert not list(pathlib.Path(node_cache.directory()).parent.rglob("*escaped.jpg"))


def test_markers_of_directories_are_no_files(data_dir, bucket, s3, read):
    upload(data_dir, f"{bucket}/data")
    for key in ("data/", "data/images/", "data/empty/"):
        name, _, prefix = bucket.removeprefix("s3://").partition("/")
        s3_store.connect(s3).Object(name, posixpath.join(prefix, key)).put(Body=b"")
    assert read(f"{bucket}/data").warnings == ()


@pytest.mark.parametrize("place", ["nothing", "nothing/", "captions.csv"])
def test_what_is_no_prefix_is_refused(bucket, read, place):
    storage.write_text(f"{bucket}/captions.csv", "image,caption\na.jpg,A dog\n")
    with pytest.raises(FileNotFoundError, match=f"data.dir: {bucket}/{place.rstrip('/')} is not a directory"):
        read(f"{bucket}/{place}")


def test_messages_name_the_bucket(bucket, tmp_path, read):
    for split in ("train", "val"):
        storage.write_text(f"{bucket}/{split}.csv", "image,caption\nb.jpg,one\n")
    storage.write_text(f"{bucket}/captions.csv", "image,caption\nb.jpg,two\n")
    with pytest.raises(ValueError, match=f"data.dir: several caption files in {bucket}: ") as error:
        read(bucket)
    assert node_cache.directory() not in str(error.value)
    with pytest.raises(FileNotFoundError, match=f"data.dir: no captions in none.csv of {bucket}"):
        read(bucket, caption_files="none.csv")
    storage.write_bytes(f"{bucket}/new/captions.csv", "image,caption\nb.jpg,Grün\nc.jpg,Blüte\n".encode("cp1252"))
    with pytest.raises(ValueError, match=f"{bucket}/new/captions.csv:2: the file is not in UTF-8") as error:
        read(f"{bucket}/new")
    assert node_cache.directory() not in str(error.value)


def test_a_damaged_container_is_named_by_its_uri(tmp_path, bucket, image, read):
    write_shards(tmp_path, encode(image))
    data = (tmp_path / "val-000.tar").read_bytes()
    (tmp_path / "val-000.tar").write_bytes(data[:3000])
    upload(tmp_path, bucket)
    with pytest.raises((OSError, ValueError), match=f"{bucket}/val-000.tar: the archive is cut"):
        read(bucket)


def test_the_encoding_is_that_of_the_settings(tmp_path, bucket, read):
    rows = "".join(f"{number}.jpg,\N{CJK UNIFIED IDEOGRAPH-72D7} {number}\n" for number in range(9000))
    storage.write_bytes(f"{bucket}/captions.csv", f"image,caption\n{rows}".encode("utf-16-le"))
    for number in range(3):
        storage.write_bytes(f"{bucket}/{number}.jpg", b"1")
    data = read(bucket, encoding="utf-16-le")
    assert (len(data.images), data.num_captions) == (3, 9000)


def test_the_newest_span_is_found_in_a_bucket(bucket):
    for name in ("day-2/a.jpg", "day-12/a.jpg", "day-x/a.jpg", "day-99.old/a.jpg", "day-100"):
        storage.write_bytes(f"{bucket}/{name}", b"1")
    assert spans.newest(f"{bucket}/day-{{SPAN}}") == f"{bucket}/day-12"
    with pytest.raises(FileNotFoundError, match="with a number for"):
        spans.newest(f"{bucket}/span-{{SPAN}}")


def test_links_mean_nothing_in_a_bucket(data_dir, bucket, read):
    upload(data_dir, bucket)
    assert content(read(bucket, allow_links=True)) == content(read(bucket))


def test_a_text_that_changes_once_is_read_again(data_dir, bucket, read, monkeypatch):
    upload(data_dir, bucket)
    changes = ["c.jpg\nnew.jpg\n"]
    change_while_reading(monkeypatch, lambda: changes and storage.write_text(f"{bucket}/testImages.txt", changes.pop()))
    assert {image.image_id: image.split for image in read(bucket).images}["new.jpg"] == "test"


def test_texts_that_change_all_the_time_are_an_error(data_dir, bucket, read, monkeypatch):
    upload(data_dir, bucket)
    numbers = iter(range(100))
    change_while_reading(monkeypatch, lambda: storage.write_text(f"{bucket}/testImages.txt", f"{next(numbers)}.jpg\n"))
    with pytest.raises(outline.ChangingTextsError, match=f"data.dir: {bucket} changes while its texts are read; run"):
        read(bucket)


def change_while_reading(monkeypatch, change) -> None:
    """Calls a function between listing and reading."""
    list_tree = object_store.list_tree

    def list_then_change(uri):
        objects = list_tree(uri)
        change()
        return objects

    monkeypatch.setattr(object_store, "list_tree", list_then_change)


def test_a_text_that_vanishes_is_read_no_more(data_dir, bucket, read, monkeypatch):
    upload(data_dir, bucket)
    change_while_reading(monkeypatch, lambda: storage.remove(f"{bucket}/testImages.txt"))
    data = read(bucket)
    assert "testImages.txt" not in {source.path.name for source in data.layout.lists.values()}
    assert data == read(bucket)


def test_a_bucket_that_can_not_be_read_is_an_error_at_once(data_dir, bucket, relayed, read):
    upload(data_dir, bucket)
    relayed.fault = lambda method, path: 403 if path == "captions.token.txt" else None
    with pytest.raises(object_store.StorageAccessError, match=f"{bucket}/captions.token.txt: access denied"):
        read(bucket)


def test_outlines_of_one_bucket_share_what_is_unchanged(data_dir, bucket, read):
    upload(data_dir, bucket)
    read(bucket)
    storage.write_bytes(f"{bucket}/images/d.jpg", b"new")
    read(bucket)
    texts = list(pathlib.Path(node_cache.directory()).rglob("captions.token.txt"))
    assert len(texts) == 2 and len({path.stat().st_ino for path in texts}) == 1


def test_a_lost_outline_is_written_again(data_dir, bucket, read):
    upload(data_dir, bucket)
    before = read(bucket)
    [objects] = pathlib.Path(node_cache.directory()).rglob(outline._OBJECTS)
    objects.unlink()  # as a crash leaves it
    assert read(bucket).images == before.images


def test_reading_a_bucket_needs_the_package(monkeypatch):
    with pytest.raises(ValueError, match="unknown:// is not a known file system"):
        dataset.read(CaptionIngestSettings(dir="unknown://bucket"))
