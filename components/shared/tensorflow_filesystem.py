"""TensorFlow's file systems as one of fsspec: Google Cloud Storage, for which TensorFlow needs no further package."""

import contextlib
import posixpath
import shutil
from collections.abc import Iterator
from typing import Any

import fsspec
import tensorflow as tf

_CHUNK = 2**24  # bytes that are copied at a time
_TRANSIENT = (
    tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.ResourceExhaustedError,
    tf.errors.UnavailableError,
)  # fmt: skip


class TensorFlowFileSystem(fsspec.AbstractFileSystem):
    """The operations that `object_store` uses; paths are URIs."""

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Reads a file, or a part of it."""
        with _pythons_errors(), tf.io.gfile.GFile(path, "rb") as file:
            if start:
                file.seek(start)
            return file.read(-1 if end is None else end - (start or 0))

    def pipe_file(self, path: str, value: bytes, **_: Any) -> None:
        """Writes a small file."""
        with _pythons_errors():
            tf.io.gfile.makedirs(posixpath.dirname(path))
            with tf.io.gfile.GFile(path, "wb") as file:
                file.write(value)

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        """Writes a file from one on the disk."""
        with _pythons_errors(), open(lpath, "rb") as source:
            tf.io.gfile.makedirs(posixpath.dirname(rpath))
            with tf.io.gfile.GFile(rpath, "wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)

    def get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        """Reads a file into one on the disk."""
        with _pythons_errors(), tf.io.gfile.GFile(rpath, "rb") as source, open(lpath, "wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """The entry of a file or directory."""
        with _pythons_errors():
            stat = tf.io.gfile.stat(path)
        kind = "directory" if stat.is_directory else "file"
        return {
            "name": path,
            "size": stat.length,
            "type": kind,
            "mtime": stat.mtime_nsec / 1e9,
        }

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """The entries of a directory."""
        with _pythons_errors():
            names = [f"{path.rstrip('/')}/{name.rstrip('/')}" for name in tf.io.gfile.listdir(path)]
        return [self.info(name) for name in names] if detail else names

    def find(self, path: str, detail: bool = False, **_: Any) -> Any:
        """All files below a directory, or the file itself."""
        with _pythons_errors():
            if tf.io.gfile.exists(path) and not tf.io.gfile.isdir(path):
                names = [path]
            else:
                walk = tf.io.gfile.walk(path)
                names = sorted(f"{folder.rstrip('/')}/{name}" for folder, _, files in walk for name in files)
        return {name: self.info(name) for name in names} if detail else names

    def rm(self, path: list[str], **_: Any) -> None:
        """Deletes files."""
        with _pythons_errors():
            for name in path:
                tf.io.gfile.remove(name)

    def rm_file(self, path: str) -> None:
        """Deletes an object."""
        self.rm([path])


@contextlib.contextmanager
def _pythons_errors() -> Iterator[None]:
    """Turns TensorFlow's errors into those that other file systems raise."""
    try:
        yield
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(error.message) from error
    except (tf.errors.PermissionDeniedError, tf.errors.UnauthenticatedError) as error:
        raise PermissionError(error.message) from error
    except _TRANSIENT as error:
        raise ConnectionError(error.message) from error
    except tf.errors.OpError as error:
        raise OSError(error.message) from error
