"""Which errors of reading may pass: of Python's own functions, and of TensorFlow's."""

import tensorflow as tf

# TensorFlow's errors where a disk fails; those of a file that is missing or damaged are others
_TRANSIENT = (
    tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.PermissionDeniedError,
    tf.errors.ResourceExhaustedError, tf.errors.UnavailableError, tf.errors.UnknownError,
)  # fmt: skip


def is_transient(error: BaseException) -> bool:
    """Whether an error while reading may pass: the file is there, as far as is known, and could not be read."""
    if isinstance(error, OSError):
        is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        return not is_missing and error.errno is not None  # libraries raise it without a number for a damaged file
    return isinstance(error, _TRANSIENT)
