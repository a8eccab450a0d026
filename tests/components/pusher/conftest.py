import pathlib

import pytest


@pytest.fixture
def model(tmp_path) -> pathlib.Path:
    """A directory with the files of a small SavedModel."""
    directory = tmp_path / "model"
    (directory / "variables").mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(b"graph")
    (directory / "variables" / "variables.index").write_bytes(b"index")
    return directory
