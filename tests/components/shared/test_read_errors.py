import errno

import pytest
import tensorflow as tf

from components.shared import read_errors


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        (OSError(errno.EIO, "Input/output error"), True),
        (PermissionError(errno.EACCES, "Permission denied"), True),
        (tf.errors.UnknownError(None, None, "Input/output error"), True),
        (tf.errors.UnavailableError(None, None, "no answer"), True),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), False),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory"), False),
        (OSError("SavedModel file does not exist"), False),
        (tf.errors.NotFoundError(None, None, "gone"), False),
        (tf.errors.DataLossError(None, None, "cut"), False),
        (ValueError("no file"), False),
    ],
)
def test_an_error_may_pass_where_the_file_is_there(error, is_transient):
    assert read_errors.is_transient(error) is is_transient
