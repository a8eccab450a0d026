"""The file of a compiled pipeline: written as a whole, or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence

from components.shared import storage
from pipeline.errors import UserError


class OutputError(UserError):
    """The file can't be written; the message says why."""


@contextlib.contextmanager
def output_file(path: str, suffixes: Sequence[str]) -> Iterator[str]:
    """Yields the path of a temporary file, which becomes `path` when the block succeeds.

    Args:
      path: the file; its directory exists.
      suffixes: the suffixes that the compiler knows, of which the temporary file has the same one.

    Raises:
      OutputError: it has another suffix, or it can't be written.
    """
    suffix = os.path.splitext(path)[1]
    if suffix not in suffixes:
        raise OutputError(f"--output {path}: must end with {' or '.join(suffixes)}")
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise OutputError(f"--output {path}: {os.path.dirname(path)} is not a directory")
    with tempfile.TemporaryDirectory() as directory:
        compiled = os.path.join(directory, f"pipeline{suffix}")
        yield compiled
        with open(compiled, "rb") as file:
            data = file.read()
    try:
        storage.write_bytes(os.path.abspath(path), data)
    except Exception as error:  # OSError, or TensorFlow's own
        raise OutputError(f"--output {path}: can't be written ({str(error).splitlines()[0]})") from None
