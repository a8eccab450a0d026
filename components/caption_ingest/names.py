"""How the names of images are compared: lists, captions and the file system may spell one name differently."""

import enum
import itertools
import posixpath
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator

# suffix -> what stands for all suffixes of its format
IMAGE_SUFFIXES = {
    suffix: suffixes[0]
    for suffixes in (
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        (".png",),
        (".gif",),
        (".bmp", ".dib"),
        (".webp",),
        (".tif", ".tiff"),
        (".jp2", ".j2k", ".j2c", ".jpx", ".jpf"),
        (".avif",),
        (".heic", ".heif"),
    )
    for suffix in suffixes
}
_ESCAPED = re.compile("#U([0-9a-f]{4})", re.IGNORECASE)  # as unzip writes a character that it can't
_NUMBER = re.compile("(?:coco_(?:train|val|test)[0-9]{4}_)?([0-9]{1,18})")


class Spelling(enum.Enum):
    """How a name in the captions differs from the path or the name of its file; the values are shown to users.

    The most alike come first: a looser one counts only where nothing is spelled more like the name.
    """

    EXACT = "as spelled"
    COMPOSITION = "in another Unicode composition"
    CASE = "in another case"
    ESCAPES = "with escaped characters"
    SUFFIX = "with another suffix of the format"
    NO_SUFFIX = "without suffix"
    NUMBER = "by number"
    ABSOLUTE = "by the end of an absolute path"


LOOSENESS = {spelling: number for number, spelling in enumerate(Spelling)}


def compose(name: str) -> str:
    r"""Returns a name in Unicode's composed form (NFC); macOS, for one, decomposes the names of files.

    >>> compose("cafe\N{COMBINING ACUTE ACCENT}.jpg") == "caf\N{LATIN SMALL LETTER E WITH ACUTE}.jpg"
    True
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def comparison_form(name: str) -> str:
    """Returns the form in which names are equal that differ in upper and lower case, or in composition.

    Names that are spelled alike come first wherever this form is used: `a.jpg` and `A.jpg` may be two images.

    >>> comparison_form("images/P10.JPG")
    'images/p10.jpg'
    """
    return name.lower() if name.isascii() else compose(compose(name).casefold())


def unescape(name: str) -> str:
    r"""Decodes what the writers of URLs, and unzip, put in place of characters.

    >>> unescape("my%20photo.jpg"), unescape("caf#U00e9.jpg") == "caf\N{LATIN SMALL LETTER E WITH ACUTE}.jpg"
    ('my photo.jpg', True)
    """
    if "%" in name:
        name = urllib.parse.unquote(name)
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), name) if "#" in name else name


def is_absolute(name: str) -> bool:
    r"""Whether a name is an absolute path, on Windows or elsewhere.

    >>> [is_absolute(name) for name in ("/data/a.jpg", r"C:\data\a.jpg", r"\\nas\a.jpg", "C:a.jpg", "data/a.jpg")]
    [True, True, True, False, False]
    """
    return name.startswith(("/", "\\")) or (name[1:2] == ":" and name[2:3] in ("/", "\\"))


def name_parts(name: str) -> list[str]:
    """Divides a path with slashes into its directories and the name of its file, without root or drive.

    >>> name_parts("C:/Users/me/a.jpg"), name_parts("//nas/./a.jpg")
    (['Users', 'me', 'a.jpg'], ['nas', 'a.jpg'])
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return parts[1:] if parts and parts[0].endswith(":") else parts


def num_common_parts(name: str, path: str) -> int:
    """Counts the directories and file names in which the ends of two paths are equal, in `comparison_form`.

    >>> num_common_parts("/content/images/a.jpg", "train/images/a.JPG")
    2
    """
    pairs = zip(reversed(name_parts(comparison_form(name))), reversed(comparison_form(path).split("/")), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def spelling_of(name: str, path: str) -> Spelling:
    """How a name differs from a path that is equal to it, or ends in it or in its file name, in `comparison_form`.

    >>> spelling_of("a/P10.jpg", "images/P10.JPG").value
    'in another case'
    """
    if path.endswith(name):
        return Spelling.EXACT
    ending = "/".join(path.split("/")[-1 - name.count("/") :])
    if comparison_form(ending) != comparison_form(name):  # the file is in another directory
        ending, name = posixpath.basename(path), posixpath.basename(name)
    if ending == name:
        return Spelling.EXACT
    return Spelling.COMPOSITION if compose(ending) == compose(name) else Spelling.CASE


def loose_forms(name: str) -> Iterator[tuple[Spelling, str]]:
    """Yields the forms of a file name in the captions that may equal one of its file's `loose_forms_of_file`.

    >>> [form for _, form in loose_forms("139")], [form for _, form in loose_forms("My%20P.JPEG")]
    (['139', '139', '139'], ['my p.jpeg', 'my p.jpg'])
    """
    name = comparison_form(unescape(name))
    stem, suffix = _split_suffix(name)
    yield Spelling.ESCAPES, name
    if suffix:
        yield Spelling.SUFFIX, stem + suffix
    else:
        yield Spelling.NO_SUFFIX, name
    if number := _NUMBER.fullmatch(stem if suffix else stem.removesuffix(".0")):  # pandas writes 100.0 for 100
        yield Spelling.NUMBER, f"{int(number[1])}{suffix}"


def loose_forms_of_file(file_name: str) -> Iterator[tuple[Spelling, str]]:
    """Yields the forms of a file's name, the most alike first; only images have some without suffix.

    >>> [form for _, form in loose_forms_of_file("COCO_val2014_000000000139.jpg")][1:]
    ['coco_val2014_000000000139.jpg', 'coco_val2014_000000000139', '139.jpg', '139']
    """
    name = comparison_form(unescape(file_name))
    stem, suffix = _split_suffix(name)
    yield Spelling.ESCAPES, name
    if suffix:
        yield Spelling.SUFFIX, stem + suffix
        yield Spelling.NO_SUFFIX, stem
        if number := _NUMBER.fullmatch(stem):
            yield Spelling.NUMBER, f"{int(number[1])}{suffix}"
            yield Spelling.NUMBER, f"{int(number[1])}"


def loose_stem(name: str) -> str:
    """Returns a file name, without directory and suffix, in the form in which similar names are sought.

    >>> loose_stem("images/My%20P.JPG")
    'my p'
    """
    return posixpath.splitext(comparison_form(unescape(posixpath.basename(name))))[0]


def _split_suffix(name: str) -> tuple[str, str]:
    """Splits a name in `comparison_form` into its stem and what stands for its image suffix; "" if it has none."""
    stem, suffix = posixpath.splitext(name)
    return (stem, IMAGE_SUFFIXES[suffix]) if suffix in IMAGE_SUFFIXES else (name, "")
