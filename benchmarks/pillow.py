"""The bare loop that the ingest is compared with; a module of its own, since each of its processes imports it."""

import multiprocessing
import os
from collections.abc import Sequence

from PIL import Image


def decode(path: str) -> tuple[int, int]:
    """Decodes an image."""
    with Image.open(path) as image:
        image.load()
        return image.size


def decode_all(paths: Sequence[str]) -> None:
    """Decodes images in one process per core."""
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for _ in pool.imap_unordered(decode, paths, chunksize=64):
            pass
