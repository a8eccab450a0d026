import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from components.shared import node_cache, object_store, storage
from components.shared.disk_cache import DiskFullError
from components.shared.node_cache import NodeCacheError
from components.shared.object_store import StorageError
from tests.factories import ROOT
from tests.object_store import recorded_requests


@pytest.fixture
def requests(monkeypatch) -> list[str]:
    return recorded_requests(monkeypatch)


def read(path: str) -> str:
    return pathlib.Path(path).read_text()


def test_an_object_is_downloaded_once_and_keeps_its_name(bucket, requests):
    storage.write_text(f"{bucket}/a/weights.h5", "one")
    requests.clear()
    paths = [node_cache.file(f"{bucket}/a/weights.h5") for _ in range(2)]
    assert paths[0] == paths[1] and os.path.basename(paths[0]) == "weights.h5" and read(paths[0]) == "one"
    assert paths[0].startswith(os.environ["CAPTION_PIPELINE_CACHE"])
    assert requests == ["stat", "download", "stat"]


def test_paths_on_a_disk_are_returned_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("CAPTION_PIPELINE_CACHE", str(tmp_path / "cache"))
    assert node_cache.file("/a/b") == "/a/b"
    assert node_cache.tree("/a") == "/a"
    assert not (tmp_path / "cache").exists()


def test_an_object_with_another_content_is_another_copy(bucket):
    storage.write_text(f"{bucket}/file", "one")
    old = node_cache.file(f"{bucket}/file")
    storage.write_text(f"{bucket}/file", "two")
    assert (read(node_cache.file(f"{bucket}/file")), read(old)) == ("two", "one")


def test_many_objects_are_downloaded_in_their_order(bucket, tmp_path):
    (tmp_path / "local").write_text("local")
    for number in range(20):
        storage.write_text(f"{bucket}/{number}", str(number))
    uris = [*(f"{bucket}/{number}" for number in range(20)), str(tmp_path / "local"), f"{bucket}/3"]
    assert [read(path) for path in node_cache.files(uris)] == [*map(str, range(20)), "local", "3"]


def test_who_has_a_listing_spares_the_requests(bucket, requests):
    for name in "ab":
        storage.write_text(f"{bucket}/{name}", name)
    entries = {f"{bucket}/{name}": entry for name, entry in object_store.list_tree(bucket).items()}
    requests.clear()
    assert [read(path) for path in node_cache.files(list(entries), entries)] == ["a", "b"]
    node_cache.files(list(entries), entries)
    assert requests == ["download", "download"]


def test_a_tree_is_a_directory_with_the_name_of_the_prefix(bucket, requests):
    for name in ("saved_model.pb", "variables/variables.index"):
        storage.write_text(f"{bucket}/serving/123/{name}", name)
    storage.write_text(f"{bucket}/serving/1234/saved_model.pb", "another")
    path = node_cache.tree(f"{bucket}/serving/123/")
    assert os.path.basename(path) == "123"
    assert storage.list_files(path) == ["saved_model.pb", "variables/variables.index"]
    requests.clear()
    assert node_cache.tree(f"{bucket}/serving/123") != ""
    assert requests[0] == "list_tree"
    storage.write_text(f"{bucket}/serving/123/assets/words", "added")
    assert storage.list_files(node_cache.tree(f"{bucket}/serving/123/"))[0] == "assets/words"


@pytest.mark.parametrize("get", [node_cache.file, node_cache.tree])
def test_what_does_not_exist_is_not_found(bucket, get):
    with pytest.raises(FileNotFoundError, match=f"No such object or bucket: '{bucket}/none'"):
        get(f"{bucket}/none")


def test_a_prefix_is_no_file(bucket):
    storage.write_text(f"{bucket}/a/b", "")
    with pytest.raises(FileNotFoundError):
        node_cache.file(f"{bucket}/a")


def test_a_name_that_leads_out_of_the_directory_is_refused(bucket, monkeypatch):
    entries = {"../../x": storage.Entry("x", 1, 0.0)}
    monkeypatch.setattr(object_store, "list_tree", lambda uri: entries)
    with pytest.raises(NodeCacheError, match=r"no file can have the name of the object '../../x'"):
        node_cache.tree(f"{bucket}/a")


def test_a_copy_that_was_cut_is_downloaded_again(bucket):
    storage.write_text(f"{bucket}/file", "content")
    path = node_cache.file(f"{bucket}/file")
    pathlib.Path(path).write_text("cont")
    assert read(node_cache.file(f"{bucket}/file")) == "content"


def test_a_damaged_copy_is_discarded_and_downloaded_again(bucket, tmp_path):
    storage.write_text(f"{bucket}/file", "content")
    path = node_cache.file(f"{bucket}/file")
    pathlib.Path(path).write_text("damaged")
    assert node_cache.discard([path, str(tmp_path), f"{bucket}/file"]) == 1
    assert tmp_path.exists() and read(node_cache.file(f"{bucket}/file")) == "content"


@pytest.mark.parametrize(("damage", "expected"), [(True, ["damaged", "content"]), (False, ["content"])])
def test_what_cannot_be_read_from_a_damaged_copy_is_read_from_a_new_one(bucket, damage, expected):
    storage.write_text(f"{bucket}/file", "content")
    seen = []
    if damage:
        pathlib.Path(node_cache.file(f"{bucket}/file")).write_text("damaged")

    def parse(path: str) -> int:
        seen.append(read(path))
        if seen[-1] != "content":
            raise ValueError(seen[-1])
        return 1

    assert node_cache.read_copy(node_cache.file, f"{bucket}/file", parse) == 1
    assert seen == expected


def test_what_cannot_be_read_from_any_copy_is_the_readers_error(bucket, tmp_path):
    storage.write_text(f"{bucket}/file", "content")
    (tmp_path / "file").write_text("content")
    for path in (f"{bucket}/file", str(tmp_path / "file")):
        with pytest.raises(ValueError, match="invalid literal"):
            node_cache.read_copy(node_cache.file, path, lambda copy: int(read(copy)))
    assert (tmp_path / "file").exists()


@pytest.mark.slow
def test_the_oldest_copies_make_room(bucket, monkeypatch):
    monkeypatch.setenv("CAPTION_PIPELINE_CACHE_GIB", str(25 / 2**30))
    for name in "abc":
        storage.write_text(f"{bucket}/{name}", name * 10)
    code = f"from components.shared import node_cache; node_cache.file('{bucket}/a'); node_cache.file('{bucket}/b')"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)  # which then needs them no longer
    node_cache.file(f"{bucket}/c")
    copies = pathlib.Path(node_cache.directory()).glob("entries/*/*")
    assert sorted(copy.name for copy in copies) == ["b", "c"]


@pytest.mark.slow
def test_processes_that_ask_at_once_get_whole_copies(bucket):
    for number in range(8):
        storage.write_text(f"{bucket}/model/{number}", str(number) * 50_000)
    code = f"import os; from components.shared import node_cache; print(node_cache.tree('{bucket}/model'))"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    paths = {process.communicate()[0].strip() for process in processes}
    assert len(paths) == 1
    (path,) = paths
    assert [read(f"{path}/{number}") == str(number) * 50_000 for number in range(8)] == [True] * 8


def test_threads_that_ask_at_once_download_once(bucket, requests):
    storage.write_text(f"{bucket}/file", "content")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(node_cache.file, [f"{bucket}/file"] * 8))
    assert len(paths) == 1 and requests.count("download") == 1


def test_an_object_that_changes_during_the_download_is_no_copy(bucket):
    storage.write_text(f"{bucket}/file", "content")
    entry = storage.stat(f"{bucket}/file")
    storage.write_text(f"{bucket}/file", "other content")
    with pytest.raises(NodeCacheError, match=f"{bucket}/file has changed while it was downloaded; run again"):
        node_cache.file(f"{bucket}/file", entry)


def test_an_object_is_not_missing_where_the_cache_was_deleted_meanwhile(bucket, monkeypatch):
    storage.write_text(f"{bucket}/model/file", "content")
    download = object_store.download

    def delete_first(uri, file):
        shutil.rmtree(node_cache.directory())
        download(uri, file)

    monkeypatch.setattr(object_store, "download", delete_first)
    with pytest.raises(NodeCacheError, match="was deleted in use: run again, and delete it only when no run is in"):
        node_cache.tree(f"{bucket}/model")


def test_an_object_that_is_deleted_after_it_was_listed_is_missing(bucket):
    storage.write_text(f"{bucket}/file", "content")
    entry = storage.stat(f"{bucket}/file")
    storage.remove(f"{bucket}/file")
    with pytest.raises(FileNotFoundError, match="No such object or bucket"):
        node_cache.file(f"{bucket}/file", entry)


def test_a_long_download_is_reported(bucket, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(node_cache, "LARGE_BYTES", 2**20)
    for name in "ab":
        storage.write_bytes(f"{bucket}/store/{name}", bytes(2**20))
    node_cache.files([f"{bucket}/store/{name}" for name in "ab"])
    assert f"2/2 MiB from {bucket}/store" in caplog.text


def test_a_full_disk_is_one_line_that_says_what_to_do(bucket, monkeypatch):
    storage.write_text(f"{bucket}/file", "content")

    def fail(*_):
        raise DiskFullError(5)

    monkeypatch.setattr("components.shared.disk_cache.DiskCache.make_room", fail)
    with pytest.raises(NodeCacheError, match=rf"no room for {bucket}/file \(0.0 GiB\): make some, or set CAPTION_"):
        node_cache.file(f"{bucket}/file")


@pytest.mark.slow
def test_a_disk_that_gets_full_meanwhile_is_the_same_line(bucket):
    storage.write_bytes(f"{bucket}/file", bytes(2**20))
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, 2**18))\n"
        "import errno; from components.shared import node_cache\n"
        "errno.ENOSPC = errno.EFBIG\n"  # what this limit raises in the place of a full disk
        f"node_cache.file('{bucket}/file')"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"no room for {bucket}/file (0.0 GiB)" in run.stderr.splitlines()[-1]


def test_other_errors_of_the_store_are_not_the_disks(bucket, monkeypatch):
    storage.write_text(f"{bucket}/file", "content")

    def fail(*_):
        raise StorageError("broken")

    monkeypatch.setattr(object_store, "download", fail)
    with pytest.raises(StorageError, match="broken"):
        node_cache.file(f"{bucket}/file")


def test_a_directory_that_cannot_be_written_is_named(bucket, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CAPTION_PIPELINE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(NodeCacheError, match=r"file/cache: can't be written: set CAPTION_PIPELINE_CACHE to a"):
        node_cache.file(f"{bucket}/file", storage.Entry("file", 1, 0.0))


def test_a_limit_that_is_no_number_is_refused(bucket, monkeypatch):
    storage.write_text(f"{bucket}/file", "content")
    monkeypatch.setenv("CAPTION_PIPELINE_CACHE_GIB", "many")
    with pytest.raises(NodeCacheError, match="CAPTION_PIPELINE_CACHE_GIB: 'many' is not a number of GiB"):
        node_cache.file(f"{bucket}/file")


def test_without_a_setting_it_lies_in_the_users_cache_or_else_in_the_temporary_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("CAPTION_PIPELINE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(node_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    assert node_cache.directory() == str(tmp_path / "cache" / "caption-pipeline")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert node_cache.directory() == str(tmp_path / f"caption-pipeline-{os.getuid()}")
