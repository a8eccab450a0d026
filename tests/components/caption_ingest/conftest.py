"""Data directories, and what the ingest reads from them before it opens an image."""

import pathlib
from collections.abc import Callable

import pytest

from components.caption_ingest import dataset
from components.caption_ingest.dataset import DataSet
from components.caption_ingest.settings import CaptionIngestSettings
from tests.factories import write_data_set


@pytest.fixture
def data_dir(tmp_path) -> pathlib.Path:
    """Two captions each of five images, one of which is missing and one in no official list."""
    names = ("a.jpg", "b.jpg", "c.jpg", "new.jpg")
    lines = [f"{name}#{number}\t{name[0]} says {number}\n" for name in (*names, "gone.jpg") for number in range(2)]
    write_data_set(tmp_path, "".join(lines), {"train": ["a.jpg", "gone.jpg"], "dev": ["b.jpg"], "test": ["c.jpg"]})
    (tmp_path / "images").mkdir()
    for name in names:
        (tmp_path / "images" / name).write_bytes(name.encode())
    return tmp_path


@pytest.fixture
def read() -> Callable[..., DataSet]:
    """Reads a directory with some settings of the ingest."""
    return lambda directory, **settings: dataset.read(CaptionIngestSettings(dir=str(directory), **settings))
