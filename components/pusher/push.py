"""Version directories below a base directory, as TensorFlow Serving watches them."""

import os
import time
import uuid

from components.pusher import bucket_push
from components.pusher.bucket_push import SAVED_MODEL as SAVED_MODEL
from components.shared import locks, storage
from components.shared.contents import digest

SUFFIX = ".partial"  # of a version that is being written


def newest_version(base_directory: str) -> str | None:
    """The name of the version that TensorFlow Serving would load; None if there is none."""
    if not storage.is_local(base_directory):
        return bucket_push.newest_version(base_directory)
    return max((name for name in storage.list_names(base_directory) if name.isdecimal()), key=int, default=None)


def saved_model_in(directory: str) -> str | None:
    """A SavedModel: the directory itself, or else the newest version in it that has one; None without any."""
    versions = sorted((name for name in storage.list_names(directory) if name.isdecimal()), key=int, reverse=True)
    places = (directory, *(os.path.join(directory, version) for version in versions))
    return next((place for place in places if storage.exists(os.path.join(place, SAVED_MODEL))), None)


def push(model_dir: str, base_directory: str) -> tuple[str, bool]:
    """Makes a model the newest version, unless it already is.

    The copy gets its number when it is complete and on the disk: a server never sees half a model, and the leftovers of
    a killed push have no number. In a bucket, where nothing can be renamed, it counts when it has its `saved_model.pb`.

    Args:
      model_dir: a SavedModel.
      base_directory: the directory that the server watches.

    Returns:
      the version's name, and whether it is new.
    """
    if not storage.is_local(base_directory):
        return bucket_push.push(model_dir, base_directory)
    storage.make_directory(base_directory)
    with locks.exclusive(base_directory, wait=True):  # one push at a time: no two take the same number
        _remove_partials(base_directory)
        newest = newest_version(base_directory)
        if newest is not None and digest(os.path.join(base_directory, newest)) == digest(model_dir):
            return newest, False
        # higher than the newest one, whatever the clock says
        version = str(max(int(time.time()), int(newest or 0) + 1))
        partial = os.path.join(base_directory, f".{version}.{uuid.uuid4().hex}{SUFFIX}")
        try:
            storage.copy_tree(model_dir, partial)
            storage.sync_tree(partial)
            os.rename(partial, os.path.join(base_directory, version))
            storage.sync(base_directory)
        finally:
            storage.remove(partial)
        return version, True


def remove_leftovers(base_directory: str) -> None:
    """Deletes what killed pushes have left, unless a push is in progress."""
    if not storage.is_local(base_directory):
        bucket_push.remove_leftovers(base_directory)
        return
    with locks.exclusive(base_directory, if_unsupported=False) as is_idle:
        if is_idle:
            _remove_partials(base_directory)


def _remove_partials(base_directory: str) -> None:
    for name in storage.list_names(base_directory):
        if name.startswith(".") and name.endswith(SUFFIX):
            storage.remove(os.path.join(base_directory, name))
