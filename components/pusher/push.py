"""Version directories below a base directory, as TensorFlow Serving watches them."""

import hashlib
import os
import time
import uuid

import tensorflow as tf


def newest_version(base_directory: str) -> str | None:
    """The name of the version that TensorFlow Serving would take, None if there is none."""
    if not tf.io.gfile.isdir(base_directory):
        return None
    names = (name.rstrip("/") for name in tf.io.gfile.listdir(base_directory))
    return max((name for name in names if name.isdecimal()), key=int, default=None)


def push(model_dir: str, base_directory: str) -> tuple[str, bool]:
    """Makes a model the newest version, unless it is that already.

    The copy gets its number when it is complete: a server never sees half a model, and what a killed push leaves behind
    has no number.

    Args:
      model_dir: a SavedModel.
      base_directory: the directory that the server watches.

    Returns:
      the version's name, and whether it is new.
    """
    newest = newest_version(base_directory)
    if newest is not None and _digest(os.path.join(base_directory, newest)) == _digest(model_dir):
        return newest, False
    version = str(max(int(time.time()), int(newest or 0) + 1))  # a clock that was set back must not hide the new model
    partial = os.path.join(base_directory, f".{version}.{uuid.uuid4().hex}.partial")
    try:
        _copy(model_dir, partial)
        tf.io.gfile.rename(partial, os.path.join(base_directory, version))
    finally:
        if tf.io.gfile.exists(partial):
            tf.io.gfile.rmtree(partial)
    return version, True


def _files(directory: str) -> list[str]:
    """Paths of all files below a directory, relative to it, sorted."""
    return sorted(
        os.path.relpath(os.path.join(folder, name), directory)
        for folder, _, names in tf.io.gfile.walk(directory)
        for name in names
    )


def _copy(source: str, target: str) -> None:
    for name in _files(source):
        path = os.path.join(target, name)
        tf.io.gfile.makedirs(os.path.dirname(path))
        tf.io.gfile.copy(os.path.join(source, name), path)


def _digest(directory: str) -> str:
    """Hash of the names and contents of all files below a directory."""
    digest = hashlib.sha256()
    for name in _files(directory):
        digest.update(f"{name}\0".encode())
        with tf.io.gfile.GFile(os.path.join(directory, name), "rb") as file:
            while block := file.read(1 << 24):
                digest.update(block)
    return digest.hexdigest()
