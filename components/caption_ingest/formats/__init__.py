"""The caption file formats: one file each, and one line here.

Formats are tried in this order: containers come first, and JSON documents before JSON lines, since a document may
contain lines that are records; of the documents, those that are known by their keys come first.
"""

import re

from components.caption_ingest.formats.base import Format
from components.caption_ingest.formats.coco import Coco
from components.caption_ingest.formats.flickr_tokens import FlickrTokens
from components.caption_ingest.formats.json_lines import JsonLines
from components.caption_ingest.formats.json_records import JsonRecords
from components.caption_ingest.formats.karpathy import Karpathy
from components.caption_ingest.formats.parquet import Parquet
from components.caption_ingest.formats.sidecars import Sidecars
from components.caption_ingest.formats.table import Table
from components.caption_ingest.formats.webdataset import WebDataset

FORMATS: dict[str, Format] = {
    WebDataset.name: WebDataset(),
    Parquet.name: Parquet(),
    Karpathy.name: Karpathy(),
    Coco.name: Coco(),
    JsonRecords.name: JsonRecords(),
    FlickrTokens.name: FlickrTokens(),
    Table.name: Table(),
    JsonLines.name: JsonLines(),
}


def setting_name(format: Format) -> str:
    """Returns the name of a format in the settings, such as `flickr_tokens`."""
    return re.sub(r"\W+", "_", format.name.replace("'", "")).lower()


def find_format(name: str) -> Format:
    """Finds the format with a name in the settings.

    Raises:
      ValueError: there is no such format.
    """
    names = {setting_name(format): format for format in FORMATS.values()}
    if name not in names:
        raise ValueError(
            f"data.format: there is no format {name}; the formats are {', '.join([*names, Sidecars.name])}"
        )
    return names[name]
