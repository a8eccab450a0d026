"""Checkpoints of a training, from which the next run resumes it after an interruption."""

import contextlib
import json
import os
import time
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from components.shared import locks, storage
from components.shared.progress import LOGGER

STATE, CONTENT = "state.npz", "content"  # a file, and the array in it with everything but variables
BEGUN = "begun"  # an object in a bucket, written when a process begins
RETENTION_DAYS = 30  # files of abandoned training runs are deleted after so long
# what reading a damaged or missing file raises; any other error may be gone in a moment, and must not cost a training
DAMAGE = (FileNotFoundError, EOFError, ValueError, zipfile.BadZipFile, zlib.error)


@contextlib.contextmanager
def checkpoints_of(key: str, parent: str) -> Iterator["CheckpointManager"]:
    """Opens the checkpoints of a training, which no other process uses meanwhile.

    They are in a directory named after the training's key, so that the same training finds its files in a later
    execution, whose output directory is a new one, and any other training finds none. Where two equal trainings run at
    once, the second has a directory of its own. In a bucket, where nothing can be locked, each process has one, and
    resumes from the newest of the others.

    Args:
      key: the training key; equal trainings have equal ones.
      parent: the directory with the checkpoints of all training runs.
    """
    existing, new = [name for name in storage.list_names(parent) if _key(name) == key], f"{key}-{uuid.uuid4().hex[:8]}"
    if not storage.is_local(parent):
        directory = os.path.join(parent, new)
        storage.write_text(os.path.join(directory, BEGUN), "")
        yield CheckpointManager(directory, [os.path.join(parent, name) for name in existing])
        return
    for name in (*existing, key, new):
        directory = os.path.join(parent, name)
        storage.make_directory(directory)
        with locks.exclusive(directory) as is_ours:
            if is_ours:
                yield CheckpointManager(directory)
                return
    raise RuntimeError(f"{parent}: the new directory of this training has been deleted; run again")


def _key(name: str) -> str:
    """The training key that a directory is named after."""
    return name.partition("-")[0]


def _newest(directories: Sequence[str], state_file: str) -> str | None:
    """The directory whose state was saved last; None if none has one."""
    states = {directory: storage.stat(os.path.join(directory, state_file)) for directory in directories}
    saved = {directory: state.mtime for directory, state in states.items() if state is not None}
    return max(saved, key=lambda directory: saved[directory], default=None)


def remove(directory: str) -> None:
    """Deletes the checkpoints of a training whose weights are recorded, and those that others abandoned long ago.

    Directories in which a training is in progress are left alone. In a bucket, one of the same training is deleted if
    nothing was written to it since this one began: its process was killed, and this one has resumed it.
    """
    parent, own = os.path.split(directory)
    begun = None if storage.is_local(directory) else storage.stat(os.path.join(directory, BEGUN))
    oldest = time.time() - RETENTION_DAYS * 24 * 3600
    for name in sorted(storage.list_names(parent), key=lambda name: name == own):
        other = os.path.join(parent, name)
        entry = storage.total(other)
        is_same = _key(name) == _key(own)
        limit = max(oldest, begun.mtime) if is_same and begun else oldest
        if name == own or (entry is not None and entry.mtime < limit):
            with locks.exclusive(other) as is_unused:
                if is_unused:
                    storage.remove(other)


class UnreadableCheckpoint(Exception):
    """A file is empty, cut or damaged in another way, as after a power cut."""


class CheckpointManager:
    """The files of one training: its state, and the weights of its best epochs.

    They are NumPy archives: written whole or not at all, with checksums, and nothing in them is ever executed. With
    `tf.train.Checkpoint` a state would be two files, which a kill can separate, and a third for the position in the
    data; 540 MB take it 2.7 to 3.8 s, and this 1.6 to 3.3 s with `fsync` (three rounds in turn, TensorFlow 2.16).
    """

    def __init__(self, directory: str, earlier: Sequence[str] = (), phase: str = ""):
        """Initializes the manager; nothing is read or written yet.

        Args:
          directory: the directory of this training; only one process may use it at a time, see `checkpoints_of`.
          earlier: the directories of earlier processes with the same training, of which this one resumes the newest;
            nothing is changed in them.
          phase: the beginning of the files' names.
        """
        self.directory, self._earlier, self._phase = directory, earlier, phase

    def phase(self, name: str) -> "CheckpointManager":
        """Returns the checkpoints of a further phase of the training, beside those of the first."""
        return CheckpointManager(self.directory, self._earlier, f"{name}-")

    def save(self, variables: Sequence[Any], state: Mapping[str, Any], weights_to_keep: Sequence[str]) -> None:
        """Writes the state, then deletes the weights that are not to be kept.

        Args:
          variables: Keras variables, in an order that is the same in the next run.
          state: everything else, JSON-serializable.
          weights_to_keep: the names, of `save_weights`, that the state refers to.
        """
        text = json.dumps({"state": state, "weights": list(weights_to_keep)})
        content = {CONTENT: np.frombuffer(text.encode(), np.uint8)}
        self._write(self._phase + STATE, content | {f"v{n}": np.array(v) for n, v in enumerate(variables)})
        kept = {self._weights_file(name) for name in weights_to_keep}
        for file in storage.list_names(self.directory):
            if file.startswith(f"{self._phase}weights-") and file not in kept:
                storage.remove(os.path.join(self.directory, file))

    def restore(self, variables: Sequence[Any]) -> dict[str, Any] | None:
        """Assigns the saved values to the variables.

        Returns:
          the saved state; None if there is no checkpoint, or if one of its files is damaged.
        """
        state_file = self._phase + STATE
        source = _newest([self.directory], state_file) or _newest(self._earlier, state_file)
        if source is None:
            return None
        try:
            arrays = _read(os.path.join(source, state_file))
            content = json.loads(arrays[CONTENT].tobytes())
            for file in map(self._weights_file, content["weights"]):
                _read(os.path.join(source, file))  # now, rather than when the training is over
                if source != self.directory:
                    storage.copy(os.path.join(source, file), os.path.join(self.directory, file))
        except UnreadableCheckpoint as error:
            LOGGER.warning("%s is damaged or gone: this %s starts anew", error, "phase" if self._phase else "training")
            return None
        _assign(variables, arrays)
        return content["state"]

    def save_weights(self, name: str, variables: Sequence[Any]) -> None:
        """Writes the weights of an epoch."""
        self._write(self._weights_file(name), {f"v{n}": np.array(v) for n, v in enumerate(variables)})

    def load_weights(self, names: Sequence[str], variables: Sequence[Any]) -> None:
        """Assigns the mean of several epochs' weights to the variables (Vaswani et al. 2017, section 6.1).

        Raises:
          UnreadableCheckpoint: the weights of an epoch are damaged or gone.
        """
        mean: dict[str, np.ndarray] = {}
        for name in names:
            try:
                arrays = _read(os.path.join(self.directory, self._weights_file(name)))
            except UnreadableCheckpoint as error:
                raise UnreadableCheckpoint(
                    f"{error} is damaged or gone: run again, and this training starts anew"
                ) from error
            mean = {key: mean.get(key, 0.0) + array / len(names) for key, array in arrays.items()}
        _assign(variables, mean)

    def _weights_file(self, name: str) -> str:
        return f"{self._phase}weights-{name}.npz"

    def _write(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        with storage.atomic_write(os.path.join(self.directory, name)) as partial, open(partial, "wb") as file:
            np.savez(file, **arrays)


def _read(path: str) -> dict[str, np.ndarray]:
    """Reads a file to its end, with its checksums.

    Raises:
      UnreadableCheckpoint: it is damaged or gone; the message is its path.
    """
    try:
        with storage.open_for_reading(path) as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except DAMAGE as error:
        raise UnreadableCheckpoint(path) from error


def _assign(variables: Sequence[Any], arrays: Mapping[str, np.ndarray]) -> None:
    for number, variable in enumerate(variables):
        variable.assign(arrays[f"v{number}"])
