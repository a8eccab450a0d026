"""The version of the code, for the lineage."""

import functools
import os
import pathlib
import subprocess

VARIABLE = "CAPTIONS_COMMIT"  # names the commit where there is no checkout, as in the container image
ROOT = pathlib.Path(__file__).parent.parent


@functools.cache
def commit() -> str | None:
    """The commit, with "-dirty" if files under version control have changed since; None where it is not known."""
    if value := os.environ.get(VARIABLE):
        return value
    if not (ROOT / ".git").exists():
        return None
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
