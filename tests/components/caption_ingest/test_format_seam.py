"""A new format needs one class and one entry in `FORMATS`."""

import pathlib
from collections.abc import Iterator

import pytest

from components.caption_ingest.formats import FORMATS
from components.caption_ingest.formats.base import Caption, Format, Head, Source, checked_caption, text_lines
from components.caption_ingest.rejects import Reason, Reject


class Arrows(Format):
    """Lines `sentence -> NAME`."""

    name = "arrows"
    example = "lines `sentence -> NAME`"

    def matches(self, source: Source, head: Head) -> bool:
        return bool(head.lines) and all(" -> " in line for line in head.lines)

    def read(self, source: Source) -> Iterator[Caption | Reject]:
        for number, line in text_lines(source):
            if isinstance(line, Reject):
                yield line
            else:
                text, _, name = line.partition(" -> ")
                yield checked_caption(name, text, None, number)


@pytest.fixture
def arrows(tmp_path) -> pathlib.Path:
    """A data directory with captions in that format."""
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "captions.txt").write_text("A dog runs -> a.jpg\nTwo cats -> b.jpg\n ?! -> b.jpg\n")
    return tmp_path


def test_a_registered_format_is_detected_and_read(arrows, read, monkeypatch):
    monkeypatch.setitem(FORMATS, Arrows.name, Arrows())
    data = read(arrows)
    assert [(image.image_id, image.captions) for image in data.images] == [
        ("a.jpg", ("A dog runs",)),
        ("b.jpg", ("Two cats",)),
    ]
    assert [(reject.line, reject.reason) for reject in data.rejects] == [(3, Reason.EMPTY_CAPTION)]


def test_an_unknown_format_is_refused_with_the_known_ones(arrows, read):
    with pytest.raises(FileNotFoundError, match=r"(?s)no captions in .*Known formats:.*COCO captions: "):
        read(arrows)


def test_every_format_is_registered_under_its_name():
    assert {name: format.name for name, format in FORMATS.items()} == {name: name for name in FORMATS}
    assert all(format.example for format in FORMATS.values())
