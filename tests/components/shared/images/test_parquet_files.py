"""Images of Parquet files are read in windows, from wherever reading goes on."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.shared.images import parquet_files
from components.shared.images.parquet_files import ImageColumn, bytes_path, image_columns, names_path
from tests.containers import IMAGE_TYPE, hf_image, write_parquet

DATA = [bytes([number]) * 1000 for number in range(100)]


@pytest.fixture
def column(tmp_path, monkeypatch):
    """Windows of five rows, in a row group of ninety and one of ten."""
    monkeypatch.setattr(parquet_files, "WINDOW_BYTES", 5200)
    path = write_parquet(tmp_path / "a.parquet", {"image": list(map(hf_image, DATA))}, group=90, compression="none")
    return ImageColumn(str(path), pq.read_metadata(path), "image.bytes")


@pytest.mark.parametrize("rows", [range(100), range(99, -1, -1), [50, 3, 51, 4, 95, 52, 5, 0, 99]])
def test_rows_are_read_in_any_order(column, rows):
    assert [column.read(row) for row in rows] == [DATA[row] for row in rows]


def test_in_order_each_window_is_read_once(column, monkeypatch):
    started = []
    real = ImageColumn._read_group
    monkeypatch.setattr(ImageColumn, "_read_group", lambda self, group: started.append(group) or real(self, group))
    for row in range(100):
        column.read(row)
    assert started == [0, 1]
    assert sum(map(len, column._windows.values())) <= 5 * parquet_files.MAX_WINDOWS


def test_two_places_are_read_on_from(column, monkeypatch):
    started = []
    real = ImageColumn._read_group
    monkeypatch.setattr(ImageColumn, "_read_group", lambda self, group: started.append(group) or real(self, group))
    for row in range(40):
        assert (column.read(row), column.read(row + 45)) == (DATA[row], DATA[row + 45])
    assert started == [0, 0]


def test_a_process_does_not_read_on_where_its_parent_was(column, monkeypatch):
    column.read(10)
    monkeypatch.setattr(parquet_files.os, "getpid", lambda: -1)
    [stream] = column._streams
    assert column.read(20) == DATA[20]
    assert stream.next_row == 15


def test_rows_without_image_are_counted_or_found(tmp_path):
    images = [hf_image(b"1"), hf_image(b"2"), hf_image(b"3"), None, hf_image(None, "a.jpg"), None]
    for statistics in (True, False):
        path = write_parquet(tmp_path / "a.parquet", {"image": images}, write_statistics=statistics)
        assert ImageColumn(str(path), pq.read_metadata(path), "image.bytes").rows_without_image() == {3, 4, 5}


def test_the_size_is_a_mean_and_bounded(tmp_path, monkeypatch):
    path = write_parquet(
        tmp_path / "a.parquet", {"image": [hf_image(bytes(10)), hf_image(bytes(5000))]}, compression="none"
    )
    column = ImageColumn(str(path), pq.read_metadata(path), "image.bytes")
    assert 2500 < column.mean_size(0) < 2600
    monkeypatch.setattr(parquet_files, "MAX_BYTES", 100)
    assert column.mean_size(0) == 100


def test_columns_are_known_by_their_types():
    schema = pa.schema(
        [
            ("name", pa.string()),
            ("hash", pa.binary()),
            ("image", IMAGE_TYPE),
            ("path_only", pa.struct([("path", pa.string())])),
            ("list", pa.list_(IMAGE_TYPE)),
        ]
    )
    assert image_columns(schema) == ["image", "hash"]
    assert [bytes_path(field) for field in schema] == [None, "hash", "image.bytes", None, None]
    assert [names_path(field) for field in schema] == ["name", None, "image.path", "path_only.path", None]
