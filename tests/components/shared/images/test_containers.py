"""Members of containers are read by their paths, and containers are indexed once."""

import concurrent.futures
import os

import pyarrow as pa
import pytest

from components.shared.images import containers, parquet_files, reading
from components.shared.images.container_files import DamagedContainerError
from tests.containers import hf_image, write_parquet, write_tar

DATA = [bytes([number]) * (1000 + number) for number in range(20)]


@pytest.fixture
def tar(tmp_path):
    return write_tar(tmp_path / "a.tar", [(f"images/{number}.jpg", data) for number, data in enumerate(DATA)])


@pytest.fixture
def parquet(tmp_path):
    return write_parquet(tmp_path / "a.parquet", {"image": list(map(hf_image, DATA)), "n": range(20)}, group=8)


def test_a_member_of_an_archive_is_read_by_its_path(tar):
    assert reading.read_bytes(f"{tar}/images/7.jpg") == DATA[7]
    assert reading.size_and_version(f"{tar}/images/7.jpg") == (1007, tar.stat().st_mtime_ns)


def test_a_row_is_read_by_its_number(parquet):
    assert [reading.read_bytes(f"{parquet}/{row}") for row in (19, 0, 7, 8)] == [DATA[19], DATA[0], DATA[7], DATA[8]]
    size, mtime_ns = reading.size_and_version(f"{parquet}/7")
    assert 900 <= size <= 1500 and mtime_ns == parquet.stat().st_mtime_ns


def test_files_are_read_as_before(tmp_path):
    (tmp_path / "17").write_bytes(b"plain")
    assert reading.read_bytes(str(tmp_path / "17")) == b"plain"
    assert reading.size_and_version(str(tmp_path / "17")) == (5, (tmp_path / "17").stat().st_mtime_ns)
    with pytest.raises(FileNotFoundError):
        reading.read_bytes(str(tmp_path / "gone" / "17"))


@pytest.mark.parametrize("member", ["images/20.jpg", "images", "../a.tar", "images/../images/7.jpg"])
def test_what_an_archive_does_not_have_is_not_found(tar, member):
    for read in (reading.read_bytes, reading.size_and_version):
        with pytest.raises(FileNotFoundError):
            read(f"{tar}/{member}")


@pytest.mark.parametrize("member", ["20", "-1", "1.jpg", "n/1", "other/1", "\N{SUPERSCRIPT TWO}"])
def test_what_a_parquet_file_does_not_have_is_not_found(parquet, member):
    for read in (reading.read_bytes, reading.size_and_version):
        with pytest.raises(FileNotFoundError):
            read(f"{parquet}/{member}")


def test_a_path_into_another_file_is_not_found(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"text")
    with pytest.raises(FileNotFoundError, match=r"a\.tar has no image 1\.jpg"):
        reading.read_bytes(str(tmp_path / "a.tar" / "1.jpg"))


def test_a_container_that_is_replaced_is_indexed_anew(tar):
    path = f"{tar}/images/7.jpg"
    before = reading.size_and_version(path)
    write_tar(tar, [("images/7.jpg", b"new")])
    os.utime(tar, ns=(7, 7))
    assert reading.read_bytes(path) == b"new"
    assert reading.size_and_version(path) == (3, 7) != before


def test_a_container_is_indexed_once(tar, monkeypatch):
    indexed, real = [], containers.TarContainer
    monkeypatch.setattr(containers, "TarContainer", lambda path, near: indexed.append(path) or real(path, near))
    for number in range(5):
        reading.read_bytes(f"{tar}/images/{number}.jpg")
    assert indexed == [str(tar)]


def test_few_indexes_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "_open", {})
    monkeypatch.setattr(containers, "MAX_HELD", 3)
    paths = [str(write_tar(tmp_path / f"{n}.tar", [(f"{m}.jpg", b"x") for m in range(2)])) for n in range(3)]
    for path in (paths[0], paths[1], paths[0], paths[2]):
        containers.open_container(path)
    assert list(containers._open) == [paths[2]]
    monkeypatch.setattr(containers, "MAX_HELD", 4)
    for path in (paths[0], paths[2], paths[1]):
        containers.open_container(path)
    assert list(containers._open) == [paths[2], paths[1]]


def test_threads_read_one_container_at_once(tar, parquet, monkeypatch):
    monkeypatch.setattr(parquet_files, "WINDOW_BYTES", 2500)
    paths = [f"{tar}/images/{number}.jpg" for number in range(20)] + [f"{parquet}/{row}" for row in range(20)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(reading.read_bytes, paths * 5)) == DATA * 10


def test_other_columns_of_images_are_members_too(tmp_path):
    path = write_parquet(
        tmp_path / "a.parquet",
        {"image": [hf_image(b"1")], "thumb": [b"2"], "caption": ["a dog"]},
        {"thumb": pa.large_binary()},
    )
    container = containers.open_container(str(path))
    assert [name for name, _ in container.members()] == ["0"]
    assert [name for name, _ in container.members("thumb")] == ["thumb/0"]
    assert list(container.members("caption")) == []
    assert (reading.read_bytes(f"{path}/0"), reading.read_bytes(f"{path}/thumb/0")) == (b"1", b"2")


@pytest.mark.parametrize("cut", [100, 8000, -1])
def test_a_cut_parquet_file_is_refused_in_one_line(parquet, cut):
    parquet.write_bytes(parquet.read_bytes()[:cut])
    with pytest.raises(DamagedContainerError) as error:
        containers.open_container(str(parquet))
    assert str(error.value).startswith(f"{parquet}: it can't be read as Parquet (") and "\n" not in str(error.value)


def test_a_row_without_image_is_an_error(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", {"image": [hf_image(None, "a.jpg"), None, hf_image(b"3")]})
    for row in range(2):
        with pytest.raises(DamagedContainerError, match=f"row {row} has no image"):
            reading.read_bytes(f"{path}/{row}")
    assert reading.read_bytes(f"{path}/2") == b"3"


def test_damaged_images_of_a_parquet_file_are_an_error(parquet):
    data = bytearray(parquet.read_bytes())
    data[4:3000] = b"\xff" * 2996
    parquet.write_bytes(data)
    with pytest.raises(DamagedContainerError):
        reading.read_bytes(f"{parquet}/0")
