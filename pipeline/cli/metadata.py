"""ML Metadata, and the libraries behind it, for the commands that use them."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfx.orchestration import metadata

    from pipeline.config import Config


@contextlib.contextmanager
def open_metadata(config: "Config") -> "Iterator[metadata.Metadata]":
    """Opens a pipeline's ML Metadata without the messages of the libraries that this loads.

    Raises:
      UserError: no database is named, nothing has run there, or it cannot be used.
    """
    from pipeline.config import check_metadata

    uri = check_metadata(config)
    with quiet_imports():
        from pipeline import database
    with database.open_metadata(uri) as handle:
        yield handle


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Drops what libraries print to standard error while they are imported."""
    quiet_tensorflow()
    from pipeline import console

    with console.suppress_stderr():
        yield


def quiet_tensorflow() -> None:
    """Silences TensorFlow's C++ log, unless the environment asks for it; to be called before TensorFlow is loaded."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
