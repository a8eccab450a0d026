"""Locks on directories: they last as long as the process that holds them, even if it is killed.

Nothing heavy is imported: a run locks its directory before TensorFlow is loaded.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator


@contextlib.contextmanager
def exclusive(directory: str, wait: bool = False, if_unsupported: bool = True) -> Iterator[bool]:
    """Holds a lock on a directory while the block runs. It leaves no file behind.

    Args:
      directory: the directory; nothing is created.
      wait: whether to wait for another process that holds the lock.
      if_unsupported: the answer where nothing can be locked: an object store, some network file systems.

    Yields:
      whether the lock is held; False if another process holds it, or if there is no such directory.
    """
    if "://" in directory:
        yield if_unsupported
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        yield _lock(descriptor, wait, if_unsupported) and _is_still(descriptor, directory)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, wait: bool, if_unsupported: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES) and if_unsupported
    return True


def _is_still(descriptor: int, directory: str) -> bool:
    """Whether the directory was not deleted before it was locked."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(directory))
    except FileNotFoundError:
        return False
