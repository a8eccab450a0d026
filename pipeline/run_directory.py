"""The directory of a run on this machine: its log while it runs, and the lock that says that its process lives.

Where the root is in a bucket, the directory lies in the node's cache, and the log is uploaded when the run has ended.
"""

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator

from components.shared import locks, node_cache, storage
from pipeline.paths import Paths, RunPaths

RUNS = "runs"  # directory in the node's cache


def local_paths(paths: Paths, run_id: str) -> RunPaths:
    """The places of a run on this machine."""
    return paths.run(run_id) if storage.is_local(paths.root) else RunPaths(os.path.join(_directory(paths), run_id))


def create(paths: Paths, run_id: str) -> RunPaths:
    """Creates the directory of a new run.

    Returns:
      the places of the run on this machine.

    Raises:
      OSError: nothing can be written there, or in the bucket; the latter's message says what to do.
    """
    local = local_paths(paths, run_id)
    os.makedirs(local.directory)
    if not storage.is_local(paths.root):
        storage.write_text(paths.run(run_id).log, "")  # what the root does not allow is known before anything runs
    return local


@contextlib.contextmanager
def running(paths: Paths, run_id: str) -> Iterator[None]:
    """Locks the directory of a run while the block runs, and then uploads the log where the root is in a bucket."""
    local = local_paths(paths, run_id)
    with locks.exclusive(local.directory, wait=True):
        try:
            yield
        finally:
            if not storage.is_local(paths.root):
                try:
                    _upload(paths, run_id)
                except OSError as error:
                    print(f"The log stays in {local.log} ({error})", file=sys.stderr)


def upload_logs_of_dead(paths: Paths) -> None:
    """Uploads the logs of runs that were killed on this machine before they could do it."""
    if storage.is_local(paths.root):
        return
    for run_id in storage.list_names(_directory(paths)):
        if is_dead(paths, run_id):
            _upload(paths, run_id)


def is_dead(paths: Paths, run_id: str) -> bool:
    """Whether a run of this machine has no process any more; False for those of other machines."""
    with locks.exclusive(local_paths(paths, run_id).directory, if_unsupported=False) as is_free:
        return is_free


def _upload(paths: Paths, run_id: str) -> None:
    local = local_paths(paths, run_id)
    if storage.exists(local.log):
        storage.copy(local.log, paths.run(run_id).log)
    storage.remove(local.directory)


def _directory(paths: Paths) -> str:
    """Where the runs of a root in a bucket have their directories on this machine."""
    return os.path.join(node_cache.directory(), RUNS, hashlib.sha256(paths.root.encode()).hexdigest()[:16])
