"""Second copies of files: made by hand, by a browser or by a tokenizer. The original is read, and the copy is told."""

import posixpath
import re
from collections.abc import Collection, Iterable

_WORDS = r"(?:copy|copie|copia|kopie|kopia)"
# what the names of copies have beside those of their originals
_MARKS = (
    re.compile(r"~$|\.(?:bak|backup|copy|old|orig|save|\d{1,2})$", re.IGNORECASE),
    re.compile(rf"^{_WORDS} (?:of|von|de|di|van) ", re.IGNORECASE),
    re.compile(r" ?\(\d{1,2}\)(?=\.|$)"),
    re.compile(rf"(?: ?[-_.] ?| ){_WORDS}(?:[ _-]?\d{{1,2}})?(?=[. ]|$)", re.IGNORECASE),
    re.compile(
        r"[-_.](?:bak|backup|old|tokeni[sz]ed|tok|lemma(?:s|ti[sz]ed)?|stemmed|lower(?:cased?)?|clean(?:ed)?|"
        r"(?:pre)?processed)(?=[-_.]|$)",
        re.IGNORECASE,
    ),
)
_SAMPLE = 1000  # captions of a file that are compared
_MIN_ALIKE = 0.9  # fraction of these that an earlier file has


def find_copies(names: Collection[str]) -> dict[str, str]:
    """Finds the files that are second copies of others by their names.

    Args:
      names: the paths of the files.

    Returns:
      copy -> original.

    >>> find_copies(["a/train.json", "a/train_tokenized.json", "a/train (1).json", "a/train_2.json"])
    {'a/train_tokenized.json': 'a/train.json', 'a/train (1).json': 'a/train.json'}
    """
    originals = {name.lower(): name for name in names}
    copies = {}
    for name in names:
        original = next((originals[other] for other in _without_marks(name.lower()) if other in originals), None)
        if original is not None:
            copies[name] = original
    return copies


def _without_marks(name: str) -> list[str]:
    """Lists the names that a file's original may have, the most likely first: without all marks, then without one."""
    directory, file_name = posixpath.split(name)
    bare, single = file_name, []
    for mark in _MARKS:
        if (shorter := mark.sub("", file_name)) != file_name:
            single.append(shorter)
        bare = mark.sub("", bare)
    single.append(file_name.replace("lemma", "token"))  # Flickr8k.lemma.txt is one of Flickr8k.token.txt
    return [posixpath.join(directory, other) for other in dict.fromkeys((bare, *single)) if other != file_name]


class Likeness:
    """Compares the first captions of a file with those that earlier files have of its images.

    Sentences that are equal are counted elsewhere; these differ in case, punctuation or blanks, as if they were
    tokenized.
    """

    def __init__(self, name: str):
        """Begins with a file.

        Args:
          name: path of the file below the data directory.
        """
        self._name, self._original = name, ""
        self._num_seen = self._num_alike = 0

    def see(self, text: str, earlier: Iterable[str], source: str) -> None:
        """Compares a caption with those that its image has.

        Args:
          text: the caption.
          earlier: the captions of its image.
          source: the file with the first of these.
        """
        if self._num_seen == _SAMPLE:
            return
        self._num_seen += 1
        if source != self._name and _letters(text) in {_letters(other) for other in earlier if other != text}:
            self._num_alike += 1
            self._original = self._original or source

    def check(self) -> None:
        """Refuses a file of which nearly all captions are known in another spelling.

        Raises:
          ValueError: with the file that has them.
        """
        if self._num_alike and self._num_alike >= _MIN_ALIKE * self._num_seen:
            raise ValueError(
                f"data.dir: {self._name} repeats the captions of {self._original} with other case, punctuation or "
                "blanks; keep one of the files, or choose with data.caption_files=FILE"
            )


def _letters(text: str) -> str:
    return re.sub(r"\W+", "", text.lower())
