"""Official splits as lists of image names: in one file per split, or one that states the split of each."""

import collections
import dataclasses
import itertools
import posixpath
from collections.abc import Callable, Collection, Mapping, Sequence

from components.caption_ingest.formats.base import Source
from components.caption_ingest.grouping import ImageCaptions
from components.caption_ingest.list_files import read_list
from components.caption_ingest.names import comparison_form, compose
from components.shared.records import TRAIN

MAX_EXAMPLES = 3  # names in a warning
_MAX_SUFFIXES = 16  # directories by which lists and captions may differ


@dataclasses.dataclass(frozen=True)
class Listing:
    """What the lists state about one image.

    Attributes:
      split: its split; None if no list names it, or if that is not clear.
      candidates: the listed names that it may have, where that is not clear.
    """

    split: str | None = None
    candidates: tuple[str, ...] = ()


class SplitLists:
    """The splits that the lists state for images.

    Lists and captions may name an image differently: with or without directory, with or without file extension, and, of
    names that no image has as they are spelled, in upper or lower case or with another extension.

    Attributes:
      names: listed name -> split.
    """

    def __init__(self, lists: Mapping[str, Source]):
        """Reads the lists.

        Args:
          lists: split -> its list.

        Raises:
          ValueError: an image is in two lists, a list is in another encoding, or a line is no image name.
        """
        self._lists = lists
        self.names: dict[str, str] = {}
        for split, source in lists.items():
            for entry in read_list(source):
                if entry.split not in (split, None):  # of another split, in a list of several
                    continue
                if (before := self.names.setdefault(entry.name, split)) != split:
                    raise ValueError(
                        f"{source.path}:{entry.number}: {entry.name} is already in the {before} split list"
                    )

    @property
    def splits(self) -> Collection[str]:
        """The splits that have a list."""
        return self._lists.keys()

    def match(self, images: Sequence[ImageCaptions]) -> tuple[list[Listing], list[str]]:
        """Finds the images in the lists.

        A name that could only be an image's if it were spelled differently counts where no other image has it.

        Args:
          images: all images of the captions.

        Returns:
          the listing of each image; a warning for each list with names that no image has.
        """
        listings = [Listing()] * len(images)
        unmatched = dict(self.names)
        for list_form, image_forms in _PASSES:
            if not unmatched:
                break
            index = _NameIndex(unmatched, list_form, image_forms)
            is_exact = list_form is compose
            # an image whose row states a split needs no guess
            found = {
                row: index.find(image)
                for row, image in enumerate(images)
                if listings[row] == Listing() and (is_exact or not image.row_split)
            }
            num_claims = collections.Counter(itertools.chain.from_iterable(found.values()))
            for row, names in found.items():
                splits = {self.names[name] for name in names}
                is_shared = not is_exact and any(num_claims[name] > 1 for name in names)
                if len(splits) == 1 and (splits == {TRAIN} or not is_shared):
                    listings[row] = Listing(splits.pop())
                elif names:
                    listings[row] = Listing(candidates=tuple(names))
            matched = {name for row, names in found.items() if listings[row].split for name in names}
            unmatched = {name: split for name, split in unmatched.items() if name not in matched}
        return listings, self._mismatch_warnings(unmatched, images[0].image_id if images else "")

    def _mismatch_warnings(self, unmatched: Mapping[str, str], example: str) -> list[str]:
        """Warns of listed names that no image has.

        Args:
          unmatched: these names -> their splits.
          example: name of one of the images.
        """
        num_names = collections.Counter(self.names.values())
        warnings = []
        for split, size in num_names.items():
            names = [name for name, other in unmatched.items() if other == split]
            if names:
                examples = ", ".join(repr(name[:80]) for name in names[:MAX_EXAMPLES])
                more = ", …" if len(names) > MAX_EXAMPLES else ""
                warnings.append(
                    f"{self._lists[split].path.name} names {size} images, and the captions contain "
                    f"{size - len(names)} of them, not {examples}{more}; the captions have names like {example[:80]!r}"
                )
        return warnings


class _NameIndex:
    """Finds the listed names that an image may have."""

    def __init__(
        self,
        splits: Mapping[str, str],
        list_form: Callable[[str], str],
        image_forms: Sequence[Callable[[str], str]],
    ):
        """Indexes the names.

        Args:
          splits: listed name -> split.
          list_form: the form in which listed names are compared.
          image_forms: the forms of an image's name that may equal it.
        """
        self._splits, self._image_forms = splits, image_forms
        self._by_form: dict[str, list[str]] = {}  # form of a name -> listed names
        self._endings: dict[str, list[str]] = {}  # form of its end, after a slash -> listed names
        for name in splits:
            whole, *endings = _suffixes(list_form(name))
            self._by_form.setdefault(whole, []).append(name)
            for ending in endings:
                self._endings.setdefault(ending, []).append(name)

    def find(self, image: ImageCaptions) -> list[str]:
        """Returns the listed names that an image may have; of several splits only where none is more likely."""
        file = image.match.file
        names = [image.image_id] if file is None or file.uri == image.image_id else [image.image_id, file.uri]
        suffixes = [suffix for name in names for suffix in _suffixes(name)]
        for form in self._image_forms:
            for suffix in suffixes:
                if listed := self._by_form.get(form(suffix)):
                    return listed
        unclear: list[str] = []
        for name in [*names, *([posixpath.basename(image.image_id)] if image.match.is_unambiguous else [])]:
            for form in self._image_forms:
                listed = self._endings.get(form(name), [])
                if len({self._splits[other] for other in listed}) == 1:
                    return listed
                unclear = unclear or listed
        return unclear


def _suffixes(name: str) -> list[str]:
    """Lists the ends of a path, longest first.

    >>> _suffixes("train/images/a.jpg")
    ['train/images/a.jpg', 'images/a.jpg', 'a.jpg']
    """
    parts = name.split("/")
    return [name, *("/".join(parts[start:]) for start in range(max(1, len(parts) - _MAX_SUFFIXES), len(parts)))]


def _stem(name: str) -> str:
    return posixpath.splitext(compose(name))[0]


def _form_of_stem(name: str) -> str:
    return _stem(comparison_form(name))


# a listed name is compared with an image's name and with its stem: as they are spelled, then in another case, and last
# without the extensions of both
_PASSES: Sequence[tuple[Callable[[str], str], Sequence[Callable[[str], str]]]] = (
    (compose, (compose, _stem)),
    (comparison_form, (comparison_form, _form_of_stem)),
    (_form_of_stem, (_form_of_stem,)),
)
