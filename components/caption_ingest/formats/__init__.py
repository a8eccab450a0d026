"""The caption file formats: one file each, and one line here.

Formats are tried in this order: JSON documents come before JSON lines, since a document whose first line is broken may
contain lines that are records.
"""

from components.caption_ingest.formats.base import Format
from components.caption_ingest.formats.coco import Coco
from components.caption_ingest.formats.flickr_tokens import FlickrTokens
from components.caption_ingest.formats.json_lines import JsonLines
from components.caption_ingest.formats.karpathy import Karpathy
from components.caption_ingest.formats.table import Table

FORMATS: dict[str, Format] = {
    FlickrTokens.name: FlickrTokens(),
    Table.name: Table(),
    Karpathy.name: Karpathy(),
    Coco.name: Coco(),
    JsonLines.name: JsonLines(),
}
