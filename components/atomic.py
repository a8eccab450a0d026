"""Files that are there whole or not at all."""

import contextlib
import os
import uuid
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[str]:
    """Gives a temporary path beside `path`, and renames it to `path` when the block ends well.

    A reader, and a run that goes on after a crash, therefore never meets half a file under its real name.

    Args:
      path: local, or on any file system that TensorFlow knows; its directory is made if need be.

    Yields:
      the path to write to.
    """
    directory, name = os.path.split(path)
    tf.io.gfile.makedirs(directory)
    # the leading dot keeps leftovers of a killed process out of every glob
    partial = os.path.join(directory, f".{name}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
        tf.io.gfile.rename(partial, path, overwrite=True)
    finally:
        if tf.io.gfile.exists(partial):
            tf.io.gfile.remove(partial)


def write_text(path: str, text: str) -> None:
    """Writes a small text file whole (UTF-8)."""
    with whole_file(path) as partial, tf.io.gfile.GFile(partial, "w") as file:
        file.write(text)
