"""A data directory -> images with captions, splits and files, before any image is opened; and its fingerprint."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence

from components.caption_ingest.data_directory import DataDirectory, open_directory
from components.caption_ingest.files import scan
from components.caption_ingest.grouping import ImageCaptions, group_by_image
from components.caption_ingest.image_file import ImageFile
from components.caption_ingest.layout import Layout, find_layout
from components.caption_ingest.list_search import ListSearch
from components.caption_ingest.name_resolution import count_spellings, resolve_names, spellings_warning
from components.caption_ingest.names import Spelling
from components.caption_ingest.rejects import Reject, check_fraction
from components.caption_ingest.settings import CaptionIngestSettings
from components.caption_ingest.split_lists import SplitLists
from components.caption_ingest.splits import assign_splits, unit_hash
from components.caption_ingest.unread_splits import unread_columns
from components.shared.records import EVAL, SPLITS, TEST


class EmptySplitError(ValueError):
    """A split has no image."""


@dataclasses.dataclass(frozen=True)
class CaptionedImage:
    """One image with all its captions.

    Attributes:
      image_id: see `NameMatch`.
      split: the split that it belongs to.
      file: its file.
      captions: its captions.
      source: path of the file with the first caption, below the data directory.
      line: line of the first caption.
      identical_files: other files of its name and size, which must be the same image, see `image_checks`.
    """

    image_id: str
    split: str
    file: ImageFile
    captions: tuple[str, ...]
    source: str
    line: int
    identical_files: tuple[ImageFile, ...] = ()


@dataclasses.dataclass(frozen=True)
class DataSet:
    """The content of a data directory, before any image is opened.

    Attributes:
      data_dir: the directory, or the URI of a prefix in a bucket.
      layout: its files of captions and lists.
      images: the images, sorted by ID.
      rejects: rejected lines and images.
      num_captions: number of captions in the files, rejected ones included, and repeated sentences not.
      stated_splits: the splits that the dataset itself defines; none where they are hashed.
      split_origins: what states the splits -> number of images, before the limit of `max_images`.
      warnings: what is odd about captions and split lists, how many images are skipped, and how names were matched if
        some are spelled much otherwise than their files.
      sources: hash of all captions and lists as they were read, also of those that are not used.
      spellings: how the names of the images differ from those of their files -> number of images, before the limit.
    """

    data_dir: str
    layout: Layout
    images: tuple[CaptionedImage, ...]
    rejects: tuple[Reject, ...]
    num_captions: int
    stated_splits: tuple[str, ...]
    split_origins: Mapping[str, int]
    warnings: tuple[str, ...]
    sources: str
    spellings: Mapping[Spelling, int] = dataclasses.field(default_factory=dict)

    @property
    def is_official(self) -> bool:
        """Whether the dataset itself defines the splits."""
        return bool(self.stated_splits)

    def fingerprint(self) -> str:
        """Hashes everything that the ingest depends on but for the images' contents: SHA-256, hexadecimal.

        It is taken of what was read, and not of the files that it was read from, which may change meanwhile. Images
        count by path, size and version.
        """
        digest = hashlib.sha256()
        digest.update(json.dumps([self.num_captions, self.is_official, self.warnings, self.sources]).encode())
        for image in self.images:
            files = [(file.uri, file.size, file.version) for file in (image.file, *image.identical_files)]
            content = [image.image_id, image.split, image.source, image.line, image.captions, files]
            digest.update(f"{json.dumps(content)}\n".encode())
        for reject in self.rejects:
            digest.update(f"{reject.to_json()}\n".encode())
        return digest.hexdigest()


def read(settings: CaptionIngestSettings) -> DataSet:
    """Reads the captions, assigns splits and finds the files.

    Raises:
      FileNotFoundError, ValueError: the directory has no captions, or contradicts itself, see the stages.
      StorageError: the bucket can't be read.
    """
    # the pipeline sets the sample's; "" is refused as no directory
    directory = open_directory(settings.dir or "", settings.encoding)
    with directory.naming_errors():
        return _read(directory, settings)


def _read(directory: DataDirectory, settings: CaptionIngestSettings) -> DataSet:
    layout = find_layout(
        directory.path,
        settings.caption_files,
        settings.encoding,
        format=settings.format,
        columns=settings.columns,
        allow_links=settings.allow_links,
        uri=directory.uri,
    )
    files = scan(directory.path, layout.containers(), settings.allow_links, uri=directory.uri)
    files = files.with_versions(directory.versions) if directory.versions else files
    grouping = group_by_image(layout, files, are_chosen=settings.caption_files is not None)
    groups = grouping.images
    search = ListSearch(layout, files, groups, directory.path, directory.uri).run(settings.encoding)
    layout = dataclasses.replace(layout, lists=search.lists)
    lists = SplitLists(layout.lists)
    resolved = resolve_names(groups, files, directory.path, directory.location)
    assignment = assign_splits(groups, resolved, lists, settings)
    matched, rejects = _match(groups, assignment.splits, resolved)
    spellings = count_spellings(group for group, _, _ in matched)
    unread = () if assignment.stated else unread_columns(layout)
    return DataSet(
        directory.location,
        layout,
        _apply_limit(itertools.starmap(_captioned, matched), settings.max_images),
        (*grouping.rejects, *rejects),
        grouping.num_captions,
        assignment.stated,
        assignment.origins,
        (
            *directory.warnings,
            *layout.warnings,
            *grouping.warnings,
            *search.warnings,
            *unread,
            *assignment.warnings,
            *spellings_warning(spellings),
        ),
        _hash(groups, lists),
        spellings,
    )


def _match(
    groups: Iterable[ImageCaptions],
    splits: Iterable[str | Reject | None],
    resolved: Iterable[ImageFile | Reject],
) -> tuple[list[tuple[ImageCaptions, str, ImageFile]], list[Reject]]:
    """The images that have a split and a file, and the rejects of the others; those that are skipped are neither."""
    matched, rejects = [], []
    for group, split, file in zip(groups, splits, resolved, strict=True):
        if split is None:
            continue
        rejects += group.excess_rejects()
        if isinstance(file, Reject):
            rejects.append(file)
        elif isinstance(split, Reject):
            rejects.append(split)
        else:
            matched.append((group, split, file))
    return matched, rejects


def _captioned(group: ImageCaptions, split: str, file: ImageFile) -> CaptionedImage:
    identical_files = tuple(candidate for candidate in group.match.candidates if candidate.uri != file.uri)
    image_id, captions = group.match.portable_id, tuple(group.captions)
    return CaptionedImage(image_id, split, file, captions, group.source, group.line, identical_files)


def check_reject_fraction(data: DataSet, rejected_images: Sequence[Reject], max_fraction: float) -> None:
    """Fails the run if too many captions are rejected.

    Args:
      data: the data, with its own rejects.
      rejected_images: those of `data.images` that are rejected.
      max_fraction: fraction of the captions that may be rejected, 0 to 1.

    Raises:
      TooManyRejects: too many of all captions; or, since `max_images` selects some of the images, of their captions.
    """
    check_fraction([*data.rejects, *rejected_images], data.num_captions, max_fraction)
    check_fraction(rejected_images, sum(len(image.captions) for image in data.images), max_fraction)


def check_no_empty_split(images: Sequence[CaptionedImage], stated_splits: Sequence[str]) -> None:
    """Fails the run if a split has no image, which no later step can work with.

    Args:
      images: the images that are left.
      stated_splits: the splits that the dataset itself defines.

    Raises:
      EmptySplitError: names the first such split.
    """
    found = {image.split for image in images}
    split = next((split for split in SPLITS if split not in found), None)
    if split is None:
        return
    is_hashed = not stated_splits or (split == EVAL and not {EVAL, TEST} <= set(stated_splits))  # see `assign_split`
    if is_hashed:
        raise EmptySplitError(
            f"no image is left for the {split} split ({len(images)} images in total): "
            "provide more images, a higher data.max_images, or other data.split_fractions"
        )
    raise EmptySplitError(
        f"no image is left for the {split} split ({len(images)} images in total; the data itself states "
        f"{', '.join(stated_splits)}): provide images whose captions or split list state it, or a higher "
        "data.max_images"
    )


def _hash(groups: Iterable[ImageCaptions], lists: SplitLists) -> str:
    digest = hashlib.sha256(json.dumps(lists.names).encode())
    for group in groups:
        digest.update(f"{json.dumps([group.image_id, group.captions])}\n".encode())
    return digest.hexdigest()


def _apply_limit(images: Iterable[CaptionedImage], max_images: int | None) -> tuple[CaptionedImage, ...]:
    """Returns the first images by the hash of their IDs, sorted by ID."""
    if max_images is not None:
        images = sorted(images, key=lambda image: unit_hash(image.image_id, "limit"))[:max_images]
    return tuple(sorted(images, key=lambda image: image.image_id))
