"""Karpathy's `dataset_*.json`, with splits of Flickr8k, Flickr30k and COCO."""

from collections.abc import Iterator
from typing import Any

from components.caption_ingest.formats.base import Caption, Format, Head, Source, checked_caption
from components.caption_ingest.formats.json_files import is_document_with, read_object, take_members
from components.caption_ingest.rejects import Reason, Reject


class Karpathy(Format):
    """One document, in which every image has its sentences and its split.

    `{"images": [{"filename": NAME, "filepath": DIRECTORY, "split": "train", "sentences": [{"raw": TEXT}]}]}`
    """

    name = "Karpathy's JSON"
    example = '`{"images": [{"filename": …, "sentences": …, "split": …}]}`'

    def matches(self, source: Source, head: Head) -> bool:
        return is_document_with(("images", "sentences"), source, head)

    def read(self, source: Source) -> Iterator[Caption | Reject]:
        for number, image in enumerate(take_members(source.path, read_object(source), "images"), start=1):
            sentences = image.get("sentences")
            if not isinstance(sentences, list):
                yield Reject(str(image.get("filename"))[:80], number, Reason.BAD_LINE, "no list of sentences")
                continue
            name, directory = image.get("filename"), image.get("filepath")
            image_id = f"{directory}/{name}" if directory and name else name
            for sentence in sentences or [{"raw": ""}]:
                text = _text(sentence) if isinstance(sentence, dict) else sentence
                yield checked_caption(image_id, text, image.get("split"), number)


def _text(sentence: dict) -> Any:
    """Returns a sentence as it was written, or else its words, divided by blanks."""
    tokens = sentence.get("tokens")
    if sentence.get("raw") is None and isinstance(tokens, list) and all(isinstance(token, str) for token in tokens):
        return " ".join(tokens)
    return sentence.get("raw")
