"""COCO's caption annotations."""

from collections.abc import Iterator
from typing import Any

from components.caption_ingest.formats.base import Caption, Format, Head, Source, checked_caption
from components.caption_ingest.formats.json_files import flag_of, flagged, is_document_with, read_object, take_members
from components.caption_ingest.rejects import Reason, Reject

# what annotations have that describe an object or answer a question
_OTHER_TASKS = frozenset({"bbox", "segmentation", "keypoints", "segments_info", "question", "question_id", "answer"})


class Coco(Format):
    """One document with a list of images and a list of captions.

    `{"images": [{"id": 9, "file_name": NAME}], "annotations": [{"image_id": 9, "caption": TEXT}]}`

    Annotations of objects and of questions, without a caption, may be among them.

    VizWiz flags annotations of annotators who could not describe the image, or whose work was rejected.
    """

    name = "COCO captions"
    example = '`{"images": …, "annotations": [{"image_id": …, "caption": …}]}`'

    def matches(self, source: Source, head: Head) -> bool:
        return is_document_with(("images", "annotations", "caption"), source, head)

    def read(self, source: Source) -> Iterator[Caption | Reject]:
        document = read_object(source)
        names: dict[str, Any] = {}
        by_number: dict[str, str | None] = {}
        without_caption: dict[str, int] = {}  # ID -> number of the image
        for number, image in enumerate(take_members(source.path, document, "images"), start=1):
            image_id, name = str(image.get("id")), image.get("file_name")
            if names.setdefault(image_id, name) != name:
                detail = f"its id is also the id of {str(names[image_id])[:80]}"
                yield Reject(str(name)[:80], number, Reason.BAD_LINE, detail)
            without_caption[image_id] = number
            # None if two IDs are one number
            by_number[_number(image_id)] = image_id if by_number.get(_number(image_id), image_id) == image_id else None
        num_others = first_other = 0
        for number, annotation in enumerate(take_members(source.path, document, "annotations"), start=1):
            image_id = str(annotation.get("image_id"))
            if image_id not in names:
                image_id = by_number.get(_number(image_id)) or image_id
            if "caption" not in annotation and not _OTHER_TASKS.isdisjoint(annotation):
                first_other = first_other or number
                num_others += 1
                continue
            without_caption.pop(image_id, None)
            if image_id not in names:
                detail = f"annotation of an unknown image, {image_id[:80]}"
                yield Reject(image_id[:80], number, Reason.BAD_LINE, detail)
            elif flag := flag_of(annotation):
                yield flagged(names[image_id], number, flag)
            else:
                yield checked_caption(names[image_id], annotation.get("caption"), None, number)
        if num_others:  # one reject of all: COCO has ten times as many boxes as captions
            detail = "without a caption, but with bbox, segmentation, question or the like"
            yield Reject("", first_other, Reason.NO_CAPTION, detail, rows=num_others)
        for image_id, number in without_caption.items():
            yield Reject(str(names[image_id])[:80], number, Reason.EMPTY_CAPTION, "no annotation")


def _number(image_id: str) -> str:
    """The form in which IDs are equal that differ in leading zeros, or by the point of a float.

    >>> _number("000000000139"), _number("139.0"), _number("a1")
    ('139', '139', 'a1')
    """
    number = image_id.removesuffix(".0")
    return number.lstrip("0") or "0" if number.isdecimal() else image_id


def has_withheld_captions(source: Source) -> bool:
    """Whether a document names images and has no annotations, as those of test splits whose captions are withheld."""
    head = Head.of(source)
    return is_document_with(("images",), source, head) and not is_document_with(("annotations",), source, head)
