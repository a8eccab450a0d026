"""What a training that was killed goes on from, in a place that the next run finds."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.atomic import whole_file

STATE = "state.npz"
KEPT_DAYS = 30  # an abandoned training's files are removed after so long


class Checkpoints:
    """Files of one training: its state, and the weights of its best epochs. Nothing in them is ever executed.

    A training is known by everything that determines it, so that the same training finds its files again in another
    execution, whose output directory is another one, and any other training finds none.
    """

    def __init__(self, directory: str):
        """Looks at nothing yet.

        Args:
          directory: of this training alone; its parent holds those of the others.
        """
        self.directory = directory

    def save(self, variables: Sequence[Any], state: Mapping[str, Any], weights_kept: Sequence[str]) -> None:
        """Writes the state, and then removes the weights that it does not name.

        Args:
          variables: of Keras; in an order that the next run has as well.
          state: all else, JSON-serializable.
          weights_kept: names for `save_weights` that are still wanted.
        """
        text = np.frombuffer(json.dumps(state).encode(), np.uint8)
        self._write(STATE, {"state": text} | {f"v{n}": np.array(v) for n, v in enumerate(variables)})
        for name in tf.io.gfile.listdir(self.directory):
            if name.startswith("weights-") and name.removesuffix(".npz").removeprefix("weights-") not in weights_kept:
                tf.io.gfile.remove(os.path.join(self.directory, name))

    def restore(self, variables: Sequence[Any]) -> dict[str, Any] | None:
        """Sets the variables to what was saved.

        Returns:
          the state; None where there is nothing to go on from.
        """
        arrays = self._read(STATE)
        if arrays is None:
            return None
        state = json.loads(arrays.pop("state").tobytes())
        _assign(variables, arrays)
        return state

    def save_weights(self, name: str, variables: Sequence[Any]) -> None:
        """Writes the weights of an epoch."""
        self._write(f"weights-{name}.npz", {f"v{n}": np.array(v) for n, v in enumerate(variables)})

    def load_weights(self, names: Sequence[str], variables: Sequence[Any]) -> None:
        """Sets the variables to the mean of some epochs' weights (Vaswani et al. 2017, section 6.1)."""
        mean: dict[str, np.ndarray] = {}
        for name in names:
            arrays = self._read(f"weights-{name}.npz")
            if arrays is None:
                raise FileNotFoundError(
                    f"{self.directory} has lost the weights of epoch {name}: remove it, and run again"
                )
            mean = {key: mean.get(key, 0.0) + array / len(names) for key, array in arrays.items()}
        _assign(variables, mean)

    def remove(self) -> None:
        """Removes all, after the training has ended well, and what others left behind long ago."""
        parent = os.path.dirname(self.directory)
        old = time.time() - KEPT_DAYS * 24 * 3600
        for name in tf.io.gfile.listdir(parent) if tf.io.gfile.isdir(parent) else []:
            path = os.path.join(parent, name.rstrip("/"))
            state = os.path.join(path, STATE)
            if path == self.directory or (tf.io.gfile.exists(state) and tf.io.gfile.stat(state).mtime_nsec / 1e9 < old):
                tf.io.gfile.rmtree(path)

    def _write(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        with whole_file(os.path.join(self.directory, name)) as partial, tf.io.gfile.GFile(partial, "wb") as file:
            np.savez(_Stream(file), **arrays)

    def _read(self, name: str) -> dict[str, np.ndarray] | None:
        path = os.path.join(self.directory, name)
        if not tf.io.gfile.exists(path):
            return None
        with tf.io.gfile.GFile(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)


class _Stream:
    """A file that is written from the beginning to the end; zipfile would go back in a GFile, which can't."""

    def __init__(self, file: tf.io.gfile.GFile):
        self._file, self.flush = file, file.flush

    def write(self, data: bytes) -> int:
        """Writes it all; a GFile does not tell how much."""
        self._file.write(bytes(data))
        return len(data)

    def read(self) -> bytes:
        """NumPy takes for a file what has this; it is never called."""
        raise NotImplementedError


def _assign(variables: Sequence[Any], arrays: Mapping[str, np.ndarray]) -> None:
    for number, variable in enumerate(variables):
        variable.assign(arrays[f"v{number}"])
