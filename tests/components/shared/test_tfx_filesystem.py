import pytest
from tfx.dsl.io import fileio
from tfx.dsl.io.filesystem_registry import DEFAULT_FILESYSTEM_REGISTRY

from components.shared import storage, tfx_filesystem


@pytest.fixture
def place(bucket) -> str:
    tfx_filesystem.register()
    return f"{bucket}/root"


def test_what_tfx_writes_is_read(place):
    with fileio.open(f"{place}/a/text", "w") as file:
        file.write("grün")
    with fileio.open(f"{place}/a/bytes".encode(), "wb") as file:
        file.write(b"\x00")
    assert fileio.open(f"{place}/a/text").read() == "grün"
    assert fileio.open(f"{place}/a/bytes", "rb").read() == b"\x00"
    assert fileio.stat(f"{place}/a/bytes").size == 1


def test_half_a_file_does_not_appear(place):
    with pytest.raises(RuntimeError), fileio.open(f"{place}/file", "wb") as file:
        file.write(b"half")
        raise RuntimeError
    assert not fileio.exists(f"{place}/file")


def test_what_is_not_there_is_not_found(place):
    for ask in (fileio.open, fileio.stat, lambda path: fileio.copy(path, f"{place}/copy")):
        with pytest.raises(fileio.NotFoundError):
            ask(f"{place}/nothing")
    assert not fileio.isdir(place)
    for delete in (fileio.remove, fileio.rmtree):
        delete(f"{place}/nothing")


def test_directories_are_what_objects_lie_below(place):
    fileio.makedirs(f"{place}/empty")
    fileio.mkdir(f"{place}/empty")
    for name in ("a/1/x", "a/2/y", "b"):
        storage.write_text(f"{place}/{name}", name)
    assert fileio.listdir(place) == ["a", "b"]
    assert fileio.isdir(f"{place}/a") and not fileio.isdir(f"{place}/b")
    assert list(fileio.walk(place)) == [
        (place, ["a"], ["b"]),
        (f"{place}/a", ["1", "2"], []),
        (f"{place}/a/1", [], ["x"]),
        (f"{place}/a/2", [], ["y"]),
    ]
    assert [folder for folder, _, _ in fileio.walk(place, topdown=False)][-1] == place
    assert fileio.glob(f"{place}/a/*/[xz]") == [f"{place}/a/1/x"]
    assert fileio.glob(f"{place}/b") == [f"{place}/b"] and fileio.glob(f"{place}/c") == []
    fileio.rmtree(f"{place}/a")
    assert list(fileio.walk(place)) == [(place, [], ["b"])]  # SeaweedFS's listings still have the empty directory


def test_objects_are_copied_and_renamed(place, tmp_path):
    storage.write_text(f"{place}/one", "1")
    fileio.copy(f"{place}/one", f"{place}/two")
    with pytest.raises(FileExistsError):
        fileio.copy(f"{place}/one", f"{place}/two")
    fileio.rename(f"{place}/two", f"{place}/one", overwrite=True)
    assert fileio.listdir(place) == ["one"]
    fileio.copy(f"{place}/one", str(tmp_path / "local"))
    assert (tmp_path / "local").read_text() == "1"


def test_files_on_a_disk_stay_tensorflows(tmp_path):
    tfx_filesystem.register()
    registered = DEFAULT_FILESYSTEM_REGISTRY.get_filesystem_for_path
    assert registered("s3://bucket/file") is tfx_filesystem.StorageFilesystem
    assert registered(str(tmp_path)) is not tfx_filesystem.StorageFilesystem
