"""What killed runs have left behind: executions that ML Metadata calls running, and files. The next run clears it."""

import contextlib
import glob
import logging
import os

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from components.pusher import push
from components.shared import storage
from components.shared.mlmd.runs import run_and_node, running_executions
from pipeline import run_directory
from pipeline.paths import Paths

SYSTEM = ".system"  # TFX's own directory in the directory of a step


def clear(store: MetadataStore, paths: Paths, feature_store_dir: str, run_id: str) -> None:
    """Closes the executions of killed runs, and deletes what they have written.

    A run holds a lock on its directory as long as its process lives: what belongs to a run that has one is left alone,
    and so is a run without a directory here, such as that of a cluster or of another machine.

    Args:
      store: ML Metadata.
      paths: the places below the root.
      feature_store_dir: the feature store, which may lie elsewhere.
      run_id: the run that is about to start.
    """
    for execution in running_executions(store):
        place = run_and_node(store, execution.id)
        if place is None or place[0] == run_id or not run_directory.is_dead(paths, place[0]):
            continue
        run, node = place
        logging.warning("execution %d of %s in run %s was killed: its files are deleted", execution.id, node, run)
        _remove_outputs(paths, node, execution.id)
        execution.last_known_state = metadata_store_pb2.Execution.FAILED  # last: until then, the next run tries again
        store.put_executions([execution])
    run_directory.upload_logs_of_dead(paths)  # last of a run in a bucket: until then, it is known as dead
    push.remove_leftovers(paths.serving)
    for directory in {paths.root, feature_store_dir}:
        storage.remove_partials(directory)
    _remove_working_dirs(paths)


def _remove_outputs(paths: Paths, node: str, execution_id: int) -> None:
    """Deletes what TFX has made for an execution: a directory of its number per output, and some for itself."""
    step_dir = os.path.join(paths.artifacts, node)
    for directory in (step_dir, os.path.join(step_dir, SYSTEM)):
        for name in storage.list_names(directory):
            storage.remove(os.path.join(directory, name, str(execution_id)))


def _remove_working_dirs(paths: Paths) -> None:
    """Deletes the empty directories that TFX makes on a disk for a step and deletes before the step is recorded.

    Their names say nothing about the execution. No step writes there, and TFX does not miss one that is deleted.
    """
    system_dir = os.path.join(glob.escape(paths.artifacts), "*", SYSTEM)
    for path in glob.glob(os.path.join(system_dir, "stateful_working_dir", "*")):
        with contextlib.suppress(OSError):  # it is not empty, or another run was faster
            os.rmdir(path)
