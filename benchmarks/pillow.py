"""The bare loop that the ingest is compared with; apart, since a process that runs it imports this file."""

import multiprocessing
import os
from collections.abc import Sequence

from PIL import Image


def decode(path: str) -> tuple[int, int]:
    """Decodes a picture."""
    with Image.open(path) as picture:
        picture.load()
        return picture.size


def decode_all(paths: Sequence[str]) -> None:
    """Decodes pictures in a process a core."""
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for _ in pool.imap_unordered(decode, paths, chunksize=64):
            pass
