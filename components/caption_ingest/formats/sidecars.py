"""Texts beside images, `NAME.jpg` and `NAME.txt`, as image downloaders and fine-tuning tools write them."""

import codecs
import json
import pathlib
import posixpath
from collections.abc import Iterator, Mapping, Sequence

from components.caption_ingest.encodings import find_encoding
from components.caption_ingest.formats.base import Caption, Format, Head, Source, checked_caption
from components.caption_ingest.formats.json_files import captions_of
from components.caption_ingest.rejects import Reason, Reject

SUFFIXES = (".txt", ".caption", ".json")  # where there are several, the first states the lines of rejects
MAX_BYTES = 2**20  # of a sidecar
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Sidecars(Format):
    """One or several small files per image, of its name: `.txt` or `.caption` with a sentence per line, `.json`.

    What a `.json` repeats of a text beside it counts once; img2dataset writes both. A text that may be about several
    images, `NAME.jpg` and `NAME.png`, is a reject for each.
    """

    name = "sidecars"
    example = "`NAME.txt` beside `NAME.jpg`, with one sentence per line"

    def __init__(
        self, images: Mapping[str, str], others: Mapping[str, Sequence[str]], rivals: Mapping[str, Sequence[str]]
    ):
        """Makes the format of one dataset.

        Args:
          images: path of the first sidecar of an image -> the file name of the image.
          others: path of the first sidecar of an image -> those of its others.
          rivals: path of the first sidecar of an image -> all images that it may be about, if there are several.
        """
        self._images, self._others, self._rivals = images, others, rivals

    def matches(self, source: Source, head: Head) -> bool:
        return str(source.path) in self._images

    def read(self, source: Source) -> Iterator[Caption | Reject]:
        first_path = str(source.path)
        image = self._images[first_path]
        if rivals := self._rivals.get(first_path):
            name = posixpath.basename(first_path)
            for rival in rivals:
                detail = f"{name} may be about {' or '.join(rivals)}; call it {rivals[0]}{posixpath.splitext(name)[1]}"
                yield Reject(rival, 1, Reason.AMBIGUOUS_NAME, detail)
            return
        items = list(_read(source, first_path, image))
        yield from items
        if first_path not in self._others:
            return
        first = [item for item in items if isinstance(item, Caption)]
        known = {_letters(caption.text) for caption in first} | {_letters("".join(caption.text for caption in first))}
        for path in self._others[first_path]:
            for item in _read(source, path, image):
                if not first or (isinstance(item, Caption) and _letters(item.text) not in known):
                    yield item


def _read(source: Source, path: str, image: str) -> Iterator[Caption | Reject]:
    """Yields the captions of one sidecar."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        yield Reject(image, 1, Reason.BAD_LINE, f"{posixpath.basename(path)} can't be read: {error.strerror}")
        return
    if len(data) > MAX_BYTES:
        yield Reject(image, 1, Reason.BAD_LINE, f"{posixpath.basename(path)} has more than {MAX_BYTES} bytes")
        return
    encoding = find_encoding(pathlib.Path(path)) if data.startswith(_MARKS) else source.encoding
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        yield Reject(
            image, 1, Reason.BAD_ENCODING, f"{posixpath.basename(path)} is not {encoding.upper()} at byte {error.start}"
        )
        return
    if path.lower().endswith(".json"):
        yield from _captions_of_json(source, text, image)
        return
    is_empty = True
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if not line.strip():
            continue
        is_empty = False
        yield checked_caption(image, line, None, number)
    if is_empty:
        yield Reject(image, 1, Reason.EMPTY_CAPTION, f"{posixpath.basename(path)} is empty")


def _captions_of_json(source: Source, text: str, image: str) -> Iterator[Caption | Reject]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield Reject(image, 1, Reason.BAD_LINE, f"not JSON: {error}")
        return
    if isinstance(record, dict):
        record = {**record, source.columns.image or "image": image}
    yield from captions_of(record, 1, source.columns)


def has_captions(path: str, source: Source) -> bool:
    """Whether a sidecar has a caption: a text of words, and not of numbers, such as boxes, or an object with one."""
    return any(isinstance(item, Caption) for item in _read(source, path, "image"))


def letters_in(path: str, source: Source) -> str:
    """What the captions of a sidecar have but for blanks."""
    return _letters("".join(item.text for item in _read(source, path, "image") if isinstance(item, Caption)))


def _letters(text: str) -> str:
    return "".join(text.split())
