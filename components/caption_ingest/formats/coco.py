"""COCO's caption annotations."""

from collections.abc import Iterator
from typing import Any

from components.caption_ingest.formats.base import Caption, Format, Head, Source, checked_caption
from components.caption_ingest.formats.json_files import flag_of, flagged, is_document_with, read_object, take_members
from components.caption_ingest.rejects import Reason, Reject


class Coco(Format):
    """One document with a list of images and a list of captions.

    `{"images": [{"id": 9, "file_name": NAME}], "annotations": [{"image_id": 9, "caption": TEXT}]}`

    VizWiz flags annotations of annotators who could not describe the image, or whose work was rejected.
    """

    name = "COCO captions"
    example = '`{"images": …, "annotations": [{"image_id": …, "caption": …}]}`'

    def matches(self, source: Source, head: Head) -> bool:
        return is_document_with(("images", "annotations", "caption"), source, head)

    def read(self, source: Source) -> Iterator[Caption | Reject]:
        document = read_object(source)
        names: dict[str, Any] = {}
        without_caption: dict[str, int] = {}  # ID -> number of the image
        for number, image in enumerate(take_members(source.path, document, "images"), start=1):
            image_id, name = str(image.get("id")), image.get("file_name")
            if names.setdefault(image_id, name) != name:
                detail = f"its id is also the id of {str(names[image_id])[:80]}"
                yield Reject(str(name)[:80], number, Reason.BAD_LINE, detail)
            without_caption[image_id] = number
        for number, annotation in enumerate(take_members(source.path, document, "annotations"), start=1):
            image_id = str(annotation.get("image_id"))
            without_caption.pop(image_id, None)
            if image_id not in names:
                detail = f"annotation of an unknown image, {image_id[:80]}"
                yield Reject(image_id[:80], number, Reason.BAD_LINE, detail)
            elif flag := flag_of(annotation):
                yield flagged(names[image_id], number, flag)
            else:
                yield checked_caption(names[image_id], annotation.get("caption"), None, number)
        for image_id, number in without_caption.items():
            yield Reject(str(names[image_id])[:80], number, Reason.EMPTY_CAPTION, "no annotation")


def has_withheld_captions(source: Source) -> bool:
    """Whether a document names images and has no annotations, as those of test splits whose captions are withheld."""
    head = Head.of(source)
    return is_document_with(("images",), source, head) and not is_document_with(("annotations",), source, head)
