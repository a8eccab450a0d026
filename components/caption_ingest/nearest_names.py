"""The files whose names are most like one that no file has: what a reject suggests."""

import bisect
import difflib
import functools
import itertools
import posixpath
from collections.abc import Iterable, Sequence

from components.caption_ingest.names import IMAGE_SUFFIXES, loose_stem

MAX_SEARCHES = 1000  # a millisecond each
_NUM_NEIGHBORS = 12  # names on either side of one in the order of the alphabet, that are compared with it
_MIN_RATIO = 0.6  # of `difflib`


class NearestNames:
    """Searches a directory's images for names that are like another one.

    Only names with the same beginning or the same end are compared, since every name is too many.
    """

    def __init__(self, paths: Iterable[str]):
        """Keeps the files.

        Args:
          paths: paths of files below the data directory.
        """
        self._paths = paths
        self._num_searches = 0

    def to(self, name: str) -> list[str]:
        """Returns up to three paths whose file names are most like a name; none after `MAX_SEARCHES` names."""
        self._num_searches += 1
        if self._num_searches > MAX_SEARCHES:
            return []
        stem = _stem(name)
        forward, backward = self._index
        stems = {*_neighbors(forward, stem), *(other[::-1] for other in _neighbors(backward, stem[::-1]))}
        nearest = difflib.get_close_matches(stem, sorted(stems), 3, _MIN_RATIO)
        return list(itertools.islice((path for other in nearest for path in self._by_stem[other]), 3))

    @functools.cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        by_stem: dict[str, list[str]] = {}
        for path in sorted(self._paths):
            if posixpath.splitext(path)[1].lower() in IMAGE_SUFFIXES:
                by_stem.setdefault(_stem(path), []).append(path)
        return by_stem

    @functools.cached_property
    def _index(self) -> tuple[Sequence[str], Sequence[str]]:
        """The stems in the order of the alphabet, and their reverses."""
        return sorted(self._by_stem), sorted(stem[::-1] for stem in self._by_stem)


def _stem(name: str) -> str:
    """The part of a name that is compared, cut to bound the time that it takes."""
    return loose_stem(name)[:64]


def _neighbors(names: Sequence[str], name: str) -> Sequence[str]:
    position = bisect.bisect(names, name)
    return names[max(0, position - _NUM_NEIGHBORS) : position + _NUM_NEIGHBORS]
