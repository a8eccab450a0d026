import hashlib
import http.server
import pathlib
import threading
import time

import fsspec
import pytest
import tenacity

from components.shared import contents, node_cache, object_store, s3_session, storage
from components.shared.object_store import StorageAccessError, StorageError, StorageUnavailableError
from components.shared.tensorflow_filesystem import TensorFlowFileSystem


@pytest.fixture(params=[pytest.param("s3", marks=pytest.mark.s3), "tensorflow"])
def place(request, monkeypatch, tmp_path) -> str:
    """An empty place: in a bucket, and where TensorFlow reads and writes; Google Cloud Storage can't be had here."""
    if request.param == "s3":
        return request.getfixturevalue("bucket")
    monkeypatch.setattr(object_store, "_filesystem", lambda uri: (TensorFlowFileSystem(), uri))
    monkeypatch.setenv("CAPTION_PIPELINE_CACHE", str(tmp_path / "node_cache"))
    return f"file://{tmp_path}/bucket"


@pytest.fixture
def impatient(monkeypatch) -> None:
    """Does not wait between two attempts."""
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda seconds: None)


def test_what_is_written_is_read(place):
    storage.write_text(f"{place}/a/b.txt", "grün")
    assert storage.read_text(f"{place}/a/b.txt") == "grün"
    assert storage.sha256(f"{place}/a/b.txt") == hashlib.sha256("grün".encode()).hexdigest()
    with storage.open_for_reading(f"{place}/a/b.txt", 4) as file:
        file.seek(2)
        assert file.read().decode() == "ün"


def test_an_object_appears_when_it_is_complete(place):
    with storage.atomic_write(f"{place}/model") as partial:
        pathlib.Path(partial).write_bytes(b"weights")
        assert not storage.exists(f"{place}/model")
    assert storage.read_bytes(f"{place}/model") == b"weights"


def test_what_is_uploaded_lies_where_it_is_cleaned_up_until_then(place):
    with storage.atomic_write(f"{place}/model") as partial:
        assert partial.startswith(node_cache.directory())
        pathlib.Path(partial).write_bytes(b"weights")
    assert not pathlib.Path(partial).parent.exists()


def test_a_failed_write_leaves_the_old_object(place):
    storage.write_text(f"{place}/file", "old")
    with pytest.raises(RuntimeError), storage.atomic_write(f"{place}/file") as partial:
        pathlib.Path(partial).write_text("half")
        raise RuntimeError
    assert storage.read_text(f"{place}/file") == "old"


def test_listings_know_objects_and_prefixes(place):
    for name in ("run/a.txt", "run/b/c.txt", "runner/d.txt"):
        storage.write_text(f"{place}/{name}", name)
    assert storage.list_names(f"{place}/run") == ["a.txt", "b"]
    assert storage.list_files(f"{place}/run") == ["a.txt", "b/c.txt"]
    assert [storage.is_directory(f"{place}/run/{name}") for name in ("b", "a.txt", "none")] == [True, False, False]
    assert (storage.size(f"{place}/run/a.txt"), storage.size(f"{place}/none")) == (9, None)
    assert storage.total(f"{place}/run").size == len("run/a.txt") + len("run/b/c.txt")
    assert storage.list_names(f"{place}/none") == storage.list_files(f"{place}/none") == []


def test_an_object_has_another_version_when_it_has_another_content(bucket):
    versions = []
    for text in ("one", "two", "one"):
        storage.write_text(f"{bucket}/file", text)
        versions.append(storage.stat(f"{bucket}/file").version)
    assert versions[0] == versions[2] != versions[1]


def test_removing_a_prefix_spares_its_neighbours(place):
    for name in ("run/a", "run/b/c", "runner"):
        storage.write_text(f"{place}/{name}", name)
    storage.remove(f"{place}/run")
    storage.remove(f"{place}/none")
    assert storage.list_files(place) == ["runner"]
    storage.remove(f"{place}/runner")
    assert storage.list_files(place) == []


@pytest.mark.parametrize("read", [storage.read_bytes, storage.sha256])
def test_reading_a_missing_object_raises_file_not_found(place, read):
    with pytest.raises(FileNotFoundError, match="No such object or bucket: '"):
        read(f"{place}/missing")


def test_a_missing_bucket_is_named(bucket):
    with pytest.raises(FileNotFoundError, match="No such object or bucket: 's3://no-such-bucket-at-all/a'"):
        storage.read_bytes("s3://no-such-bucket-at-all/a")


def test_files_are_copied_to_a_bucket_and_back(place, tmp_path):
    (tmp_path / "file").write_bytes(b"weights")
    storage.copy(str(tmp_path / "file"), f"{place}/copy")
    storage.copy(f"{place}/copy", f"{place}/again")
    storage.copy(f"{place}/again", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == b"weights"


def test_objects_are_copied_to_the_nodes_disk(place):
    for name in ("model/saved_model.pb", "model/variables/index"):
        storage.write_text(f"{place}/{name}", name)
    copy = node_cache.tree(f"{place}/model")
    assert storage.list_files(copy) == ["saved_model.pb", "variables/index"]
    assert storage.read_text(node_cache.file(f"{place}/model/variables/index")) == "model/variables/index"


def test_damage_is_found_in_a_bucket(bucket):
    storage.write_bytes(f"{bucket}/model/saved_model.pb", b"graph" * 2000)
    description = contents.describe(f"{bucket}/model")
    assert contents.find_damage(f"{bucket}/model", description) is None
    storage.write_bytes(f"{bucket}/model/saved_model.pb", b"")
    assert contents.find_damage(f"{bucket}/model", description) == f"{bucket}/model/saved_model.pb"


class Sick(http.server.BaseHTTPRequestHandler):
    """Answers with the statuses that it is told, then with an object."""

    statuses: list[tuple[int, str]] = []

    def do_GET(self):
        status, code = self.statuses.pop(0) if self.statuses else (200, "")
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode() if code else b"object"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", self.date_time_string())
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        """Prints nothing."""


@pytest.fixture
def sick(s3, monkeypatch, impatient):
    """A server that fails on demand: no real one does."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sick)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {**s3, "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{server.server_address[1]}"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    fsspec.filesystem("s3").clear_instance_cache()
    yield Sick
    server.shutdown()
    fsspec.filesystem("s3").clear_instance_cache()


def test_throttling_is_waited_for_and_told(sick, caplog):
    sick.statuses = [(503, "SlowDown")] * 12
    assert storage.read_bytes("s3://bucket/object") == b"object"
    assert "s3://bucket/object: " in caplog.text and "trying again in" in caplog.text


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_proxy_that_does_not_reach_the_store_is_waited_for(sick, status, caplog):
    sick.statuses = [(status, "")] * 3
    assert storage.read_bytes("s3://bucket/object") == b"object"
    assert caplog.text.count("s3://bucket/object: ") == 3
    sick.statuses = [(status, "")] * 3
    assert storage.stat("s3://bucket/object").size == 6


def test_a_transfer_that_fails_late_is_tried_again(bucket, monkeypatch, impatient, tmp_path, caplog):
    storage.write_bytes(f"{bucket}/file", b"data")
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    filesystem, _ = object_store._filesystem(bucket)
    get_file, failures = filesystem.get_file, [ConnectionResetError("reset by peer")]

    def fail_late(*args):
        clock[0] += 10 * object_store.RETRY_SECONDS
        if failures:
            raise failures.pop()
        return get_file(*args)

    monkeypatch.setattr(filesystem, "get_file", fail_late)
    object_store.download(f"{bucket}/file", str(tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == b"data" and caplog.text.count("trying again in") == 1


def test_a_file_that_is_read_in_parts_is_tried_again_at_each(bucket, monkeypatch, impatient, caplog):
    storage.write_bytes(f"{bucket}/file", bytes(range(100)))
    file = storage.open_for_reading(f"{bucket}/file", 10)
    assert file.read(5) == bytes(range(5))
    filesystem, _ = object_store._filesystem(bucket)
    failures, cat_file = [ConnectionResetError("reset by peer")] * 3, filesystem.cat_file

    def fail_first(*args, **kwargs):
        if failures:
            raise failures.pop()
        return cat_file(*args, **kwargs)

    monkeypatch.setattr(filesystem, "cat_file", fail_first)
    file.seek(-3, 2)
    assert file.read() == bytes([97, 98, 99]) and file.read() == b""
    assert caplog.text.count("reset by peer; trying again in") == 3


def test_a_server_that_stays_away_is_one_line(s3, impatient, monkeypatch):
    monkeypatch.setattr(object_store, "RETRY_SECONDS", 0.2)
    for name, value in {**s3, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(
        StorageUnavailableError, match=r"s3://bucket/a: the object store fails since .* s \(.*"
    ) as error:
        storage.read_bytes("s3://bucket/a")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_wrong_credentials_are_told_at_once(sick, code, caplog):
    sick.statuses = [(403, code)] * 9
    with pytest.raises(StorageAccessError, match=r"s3://bucket/a: access denied \(.*\): check the credentials"):
        storage.read_bytes("s3://bucket/a")
    assert not caplog.text


def test_a_wrong_region_is_told_at_once(sick):
    sick.statuses = [(400, "AuthorizationHeaderMalformed")] * 9
    with pytest.raises(StorageError, match=r"s3://bucket/a: .*its region \(AWS_REGION\)"):
        storage.read_bytes("s3://bucket/a")


def test_no_credentials_are_told_at_once(s3, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3["AWS_ENDPOINT_URL_S3"])
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(StorageAccessError, match="access denied"):
        storage.write_bytes("s3://bucket/a", b"")


def test_google_cloud_storage_is_read_by_tensorflow_where_gcsfs_is_not_installed():
    assert isinstance(object_store._filesystem("gs://bucket/a")[0], TensorFlowFileSystem)


def test_a_scheme_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="s3n://bucket/a: s3n:// is not a known file system"):
        storage.read_bytes("s3n://bucket/a")


def test_a_package_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    def fail(*_, **__):
        raise ImportError("Install s3fs to access S3")  # of fsspec

    monkeypatch.setattr(fsspec.core, "url_to_fs", fail)
    with pytest.raises(ValueError, match=r"a package that is not installed: pip install 'caption-pipeline\[s3\]'"):
        storage.read_bytes("s3://bucket/a")


def test_times_are_parsed_without_the_slow_parser(bucket, monkeypatch):
    storage.write_text(f"{bucket}/a/file", "text")
    monkeypatch.setattr("botocore.utils.parse_timestamp", lambda value: pytest.fail(f"{value} is parsed slowly"))
    [listed] = object_store.list_tree(bucket).values()
    assert abs(listed.mtime - time.time()) < 60
    assert storage.read_text(f"{bucket}/a/file") == "text"
    assert storage.stat(f"{bucket}/a/file").mtime == pytest.approx(listed.mtime, abs=1)


@pytest.mark.parametrize("value", [1796112431, "1796112431", "2026-12-01T08:07:11+00:00", "20261201T080711Z"])
def test_unusual_times_are_parsed_as_the_client_does_it(value):
    assert s3_session.parse_time(value).timestamp() == 1796112431


def test_many_files_are_read_in_order(place, tmp_path):
    for root in (place, str(tmp_path)):
        paths = [f"{root}/{name}" for name in "abc"]
        for path in (paths[0], paths[2]):
            storage.write_text(path, path)
        first, missing, last = storage.read_many(paths)
        assert (first.decode(), last.decode()) == (paths[0], paths[2])
        assert isinstance(missing, FileNotFoundError)
    assert [*storage.read_many([])] == []


def test_a_uri_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [storage.absolute(path) for path in ("a", "s3://b/a")] == [f"{tmp_path}/a", "s3://b/a"]
