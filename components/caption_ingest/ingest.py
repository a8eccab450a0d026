"""The second half of the ingest: a `dataset` -> records of usable images, and rejects.

The stages of both halves, in order, each in the module that decides about it, and what stands behind it:

    data_directory    the directory on a disk that is searched: of a bucket, its names and texts (`outline`)
    layout            which files hold captions and official splits (`sidecar_search`, `second_copies`, `encodings`;
                      `unread_files`: why there are none)
    formats           lines of caption files -> captions
    files             the files and members of containers that names may mean (`names`)
    grouping          captions -> images (`annotation_sets`)
    list_search       split lists that their names do not give away (`list_files`, `split_lists`, `unread_splits`)
    name_resolution   names in captions -> files (`nearest_names`, `archives`, `broken_links`: why there is none)
    splits            official or hashed split of each image (`split_directories`)
    inspection        hash and decode each image once (`inspection_cache` reads the new ones in Beam)
    image_checks      drop faulty images and ambiguous names, keep copies in one split
    rejects           all reasons for rejecting, and the limit that fails the run
    examples          records of what is left
"""

import dataclasses
import os
from collections.abc import Callable, Sequence

import apache_beam as beam
from absl import logging

from components.caption_ingest import rejects
from components.caption_ingest.dataset import CaptionedImage, DataSet, check_no_empty_split, check_reject_fraction
from components.caption_ingest.examples import write_examples
from components.caption_ingest.image_checks import (
    copies_warning,
    drop_faulty,
    move_copies,
    reject_copies,
    resolve_ambiguous_names,
    served_warning,
)
from components.caption_ingest.inspection_cache import inspect_files
from components.caption_ingest.rejects import Reject
from components.caption_ingest.settings import CaptionIngestSettings
from components.shared.records import REJECTS_FILE
from components.shared.storage import write_text


@dataclasses.dataclass(frozen=True)
class Directories:
    """Where the ingest writes.

    Attributes:
      cache: the inspections of all runs.
      examples: the `examples` artifact.
      rejects: the `rejects` artifact.
    """

    cache: str
    examples: str
    rejects: str


@dataclasses.dataclass(frozen=True)
class Result:
    """What the ingest has written.

    Attributes:
      data_dir: the directory that the images' uris are relative to.
      images: the images in the records.
      rejects: all rejects, sorted by caption file and line.
      warnings: what is odd about the data.
      is_official: whether the dataset itself defines the splits.
      unread: the uris of files that are there and could not be read, perhaps only for a moment; sorted.
    """

    data_dir: str
    images: Sequence[CaptionedImage]
    rejects: Sequence[Reject]
    warnings: Sequence[str]
    is_official: bool
    unread: Sequence[str]


def ingest(
    data: DataSet,
    settings: CaptionIngestSettings,
    directories: Directories,
    make_pipeline: Callable[[], beam.Pipeline],
) -> Result:
    """Runs all stages after the images have their captions, splits and files.

    Args:
      data: the data.
      settings: what the data was read with.
      directories: where to write.
      make_pipeline: creates a Beam pipeline.

    Raises:
      TooManyRejects: more captions are rejected than the settings allow.
      EmptySplitError: a split would be empty.
    """
    files = [file for image in data.images for file in (image.file, *image.identical_files)]
    inspections = inspect_files(files, directories.cache, data.data_dir, make_pipeline)
    unread = sorted({file.uri for file in files} - inspections.keys())

    images, ambiguous = resolve_ambiguous_names(data.images, inspections)
    images, faulty = drop_faulty(images, inspections)
    warnings = [*data.warnings, *served_warning(images, inspections)]
    if data.is_official:
        images, duplicates = reject_copies(images, inspections)
    else:
        images, duplicates = move_copies(images, inspections, settings.split_fractions), []
        warnings += copies_warning(images, inspections)

    rejected_images = [*faulty, *ambiguous, *duplicates]
    all_rejects = sorted([*data.rejects, *rejected_images], key=lambda reject: (reject.source, reject.line))
    _log(images, all_rejects, warnings)
    check_reject_fraction(data, rejected_images, settings.max_reject_fraction)
    check_no_empty_split(images, data.stated_splits)

    write_examples(directories.examples, images, inspections)
    lines = [f"{reject.to_json()}\n" for reject in all_rejects]
    write_text(os.path.join(directories.rejects, REJECTS_FILE), "".join(lines))
    return Result(data.data_dir, images, all_rejects, warnings, data.is_official, unread)


def _log(images: Sequence[CaptionedImage], all_rejects: Sequence[Reject], warnings: Sequence[str]) -> None:
    for reject in all_rejects:
        logging.warning("rejected: %s", reject.to_json())
    logging.info("accepted %d images; rejects: %s", len(images), rejects.count(all_rejects))
    for warning in warnings:
        logging.warning("%s", warning)
