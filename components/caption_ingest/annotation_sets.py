"""Several annotations of the same images, as in two languages: they would be mixed, and are refused by name."""

import collections
import contextlib
import hashlib
import itertools
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import NoReturn

from components.caption_ingest.layout import CaptionFile, Layout
from components.caption_ingest.names import IMAGE_SUFFIXES
from components.shared.images.container_files import DamagedContainerError
from components.shared.images.containers import open_container

_MIN_SHARED = 0.5  # of the images of the smaller file
_MAX_SETS = 20  # containers of a split that are compared
_SAMPLE = 50  # images of a container that are compared


class SharedImages:
    """Counts the images for which a file has captions that differ from an earlier file's.

    Files whose names differ in numbers alone, as `train.1.csv` and `train.2.csv`, are parts of one data set.
    """

    def __init__(self) -> None:
        """Begins with no file."""
        self._num_images: dict[str, int] = {}  # file -> number of its images
        self._shared: dict[tuple[str, str], set[str]] = collections.defaultdict(set)  # two files -> images

    def see(self, image_id: str, source: str, earlier: str) -> None:
        """Notes another caption of an image.

        Args:
          image_id: the image.
          source: the file with this caption.
          earlier: the file with the first caption of the image.
        """
        if source != earlier:
            self._shared[source, earlier].add(image_id)

    def check(self, source: str, num_images: int) -> None:
        """Refuses a file if most of its images, or of an earlier file's, are those of the other.

        Args:
          source: the file.
          num_images: number of its images.

        Raises:
          ValueError: with both files.
        """
        self._num_images[source] = num_images
        for (later, earlier), images in self._shared.items():
            if later != source or _pattern_of(later) == _pattern_of(earlier):
                continue
            if len(images) >= _MIN_SHARED * min(num_images, self._num_images[earlier]):
                _refuse(earlier, later, len(images))


def check_containers(layout: Layout) -> None:
    """Refuses containers of the same images in one split, as `en/train.parquet` and `de/train.parquet`.

    The first images of the first shard of each set are compared; the names of shards differ in numbers alone.

    Raises:
      ValueError: with two containers.
    """
    first: dict[tuple[str | None, str], CaptionFile] = {}
    for file in layout.captions:
        first.setdefault((file.split, _pattern_of(file.name)), file)
    by_split: Mapping[str | None, list[CaptionFile]] = collections.defaultdict(list)
    for (split, _), file in first.items():
        by_split[split].append(file)
    for files in by_split.values():
        hashes = {file.name: _first_images(file) for file in files[:_MAX_SETS]} if len(files) > 1 else {}
        for (name, images), (other, others) in itertools.combinations(hashes.items(), 2):
            shared = images & others
            if len(shared) > 1 and len(shared) >= _MIN_SHARED * min(len(images), len(others)):
                _refuse(name, other, len(shared))


def _refuse(name: str, other: str, num_images: int) -> NoReturn:
    raise ValueError(
        f"data.dir: {name} and {other} both have captions of the same {num_images} images, as two languages or "
        "versions do, and would be mixed; choose with data.caption_files=PATTERN, which may match both"
    )


def _pattern_of(name: str) -> str:
    """What the names of the parts of one data set have in common: all but numbers, and hashes in hexadecimal.

    >>> _pattern_of("en/train-00000-of-00002-3fa85f64.parquet"), _pattern_of("train.1.csv")
    ('en/train-#-of-#-#.parquet', 'train.#.csv')
    """
    return re.sub(r"(?<![a-z])[a-f]*\d[0-9a-f]*(?![a-z])|\d+", "#", name)


def _first_images(file: CaptionFile) -> set[bytes]:
    """Hashes the first images of a container; those that can't be read are left to others."""
    hashes: set[bytes] = set()
    container = open_container(file.source.location)
    if container is None:
        return hashes
    for member in itertools.islice(_images(container.members(file.source.columns.image)), _SAMPLE):
        with contextlib.suppress(DamagedContainerError, OSError):
            hashes.add(hashlib.sha256(container.read(member)).digest())
    return hashes


def _images(members: Iterable[tuple[str, int]]) -> Iterable[str]:
    return (name for name, _ in members if posixpath.splitext(name)[1].lower() in ("", *IMAGE_SUFFIXES))
