"""What a data directory holds, found with the ingest's own functions: the facts that a first config is chosen by."""

import collections
import dataclasses
import os
from collections.abc import Mapping, Sequence

from components.caption_ingest.dataset import CaptionedImage, DataSet
from components.caption_ingest.image_checks import copies_warning, drop_faulty, reject_copies, served_warning
from components.caption_ingest.inspection import Inspection
from components.caption_ingest.inspection_cache import BATCH, BATCH_BYTES, inspect_batch
from components.caption_ingest.rejects import Reject
from components.caption_ingest.settings import CaptionIngestSettings, SplitFractions
from components.caption_ingest.splits import hash_split
from components.shared import storage
from components.shared.batching import batched_by_size
from components.shared.images.containers import reading_order
from components.shared.object_store import StorageError
from components.shared.records import SPLITS, TRAIN
from components.shared.words import split_words
from components.tokenizer.settings import TokenizerSettings
from pipeline.data_preview import DataError, read, refusal, spread

MAX_CHECKED = 200  # images that are opened
MIN_IMAGES = 5  # of a hashed split, where there are at least twelve times as many
# of few images, hashed splits of a tenth may be empty; those with most images to train on come first
SPLIT_FRACTIONS = [
    SplitFractions(train / 20, eval / 20, (20 - train - eval) / 20)
    for train in range(16, 7, -1)
    for eval in sorted(range(1, 20 - train), key=lambda eval: abs(20 - train - 2 * eval))
]


@dataclasses.dataclass(frozen=True)
class Survey:
    """What a data directory holds.

    Attributes:
      data_dir: the directory, absolute, or the URI of a prefix in a bucket.
      format: name of the format of the captions.
      caption_files: their files, below the directory.
      num_images: split -> number of images with captions.
      num_captions: number of captions of these images.
      is_official: whether the dataset itself defines the splits.
      split_fractions: sizes of hashed splits, none of which is empty.
      num_unique_captions: number of different captions per image, summed over the train images.
      caption_lengths: number of words of each train caption, sorted.
      word_counts: word -> number of its occurrences in the train captions.
      example_files: paths of images that can be decoded.
      num_checked: number of images that were opened.
      rejects: the rejected lines and images, of those that were checked.
      warnings: what is odd about the data.
      refusal: why a run would refuse it, with examples of the rejects; empty if it would not.
    """

    data_dir: str
    format: str
    caption_files: tuple[str, ...]
    num_images: Mapping[str, int]
    num_captions: int
    is_official: bool
    split_fractions: SplitFractions
    num_unique_captions: int
    caption_lengths: Sequence[int]
    word_counts: collections.Counter
    example_files: tuple[str, ...]
    num_checked: int
    rejects: tuple[Reject, ...]
    warnings: tuple[str, ...]
    refusal: str = ""

    @property
    def total_images(self) -> int:
        """Number of images of all splits."""
        return sum(self.num_images.values())


def survey(data_dir: str, settings: CaptionIngestSettings | None = None) -> Survey:
    """Reads the captions and split lists of a directory, and opens some of its images.

    Args:
      data_dir: the directory.
      settings: the ingest's settings but for `dir`; other `split_fractions` are chosen where these leave a split
        empty.

    Raises:
      DataError: it has no captions, or no images for each split, or can't be read; the message says why and what to do.
    """
    data_dir = storage.absolute(data_dir)
    settings = dataclasses.replace(settings or CaptionIngestSettings(), dir=data_dir)
    data = read(settings)
    checked = spread(data.images, MAX_CHECKED)
    try:
        inspections = _inspect(checked, data_dir)
    except StorageError as error:
        raise DataError(str(error)) from None
    images, faulty, fractions, warnings = _as_ingested(data, checked, inspections, settings.split_fractions)
    num_images = {split: sum(image.split == split for image in images) for split in SPLITS}
    if not all(num_images.values()):
        empty = " and ".join(split for split, number in num_images.items() if not number)
        raise DataError(f"{data_dir}: no usable image for {empty}{_reasons(data, faulty, len(images))}")
    train = [image for image in images if image.split == TRAIN]
    tokenization = TokenizerSettings()
    words = [split_words(caption, tokenization) for image in train for caption in image.captions]
    return Survey(
        data_dir=data_dir,
        format=data.layout.format.name,
        caption_files=tuple(file.name for file in data.layout.captions),
        num_images=num_images,
        num_captions=sum(len(image.captions) for image in images),
        is_official=data.is_official,
        split_fractions=fractions,
        num_unique_captions=sum(len(set(image.captions)) for image in train),
        caption_lengths=sorted(map(len, words)),
        word_counts=collections.Counter(word for caption in words for word in caption),
        example_files=tuple(os.path.join(data_dir, file) for file in sorted(_uris(checked) & _uris(images))),
        num_checked=len(checked),
        rejects=(*data.rejects, *faulty),
        warnings=tuple(warnings),
        refusal=refusal(data, faulty, settings.max_reject_fraction),
    )


def _as_ingested(
    data: DataSet,
    checked: Sequence[CaptionedImage],
    inspections: Mapping[str, Inspection],
    preferred: SplitFractions,
) -> tuple[list[CaptionedImage], list[Reject], SplitFractions, list[str]]:
    """What the ingest would make of the data, judged by the images that were opened.

    Args:
      data: the data.
      checked: the images that were opened.
      inspections: uri -> inspection; files that could not be read are missing.
      preferred: the sizes of hashed splits, unless they leave one too small.

    Returns:
      the images with their splits, the rejects among those that were opened, the sizes of hashed splits, and warnings.
    """
    usable, rejects = drop_faulty(checked, inspections)
    warnings = [*data.warnings, *served_warning(usable, inspections)]
    if data.is_official:
        usable, duplicates = reject_copies(usable, inspections)
        rejects += duplicates
    rejected = {reject.image_id for reject in rejects}
    images = [image for image in data.images if image.image_id not in rejected]
    if data.is_official:
        return images, rejects, preferred, warnings
    warnings += copies_warning(usable, inspections)
    names = _names_of_contents(images, inspections)
    fractions = fractions_for(sorted(set(names.values())), preferred)
    images = [dataclasses.replace(image, split=hash_split(names[image.image_id], fractions)) for image in images]
    return images, rejects, fractions, warnings


def fractions_for(image_ids: Sequence[str], preferred: SplitFractions) -> SplitFractions:
    """The first sizes of hashed splits with which no split is too small; the preferred ones if there are none.

    Args:
      image_ids: the images.
      preferred: the sizes that come before all others.
    """
    for min_images in (max(1, min(len(image_ids) // 12, MIN_IMAGES)), 1):
        for fractions in (preferred, *SPLIT_FRACTIONS):
            sizes = collections.Counter(hash_split(image_id, fractions) for image_id in image_ids)
            if all(sizes[split] >= min_images for split in SPLITS):
                return fractions
    return preferred


def _inspect(images: Sequence[CaptionedImage], data_dir: str) -> dict[str, Inspection]:
    """Opens images as the ingest does: uri -> inspection; files that cannot be read are missing."""
    files = sorted((image.file for image in images), key=lambda file: reading_order(file.uri))
    inspections = {}
    for batch in batched_by_size(files, lambda file: file.size, BATCH, BATCH_BYTES):
        for file, inspection in zip(batch, inspect_batch(data_dir, batch), strict=True):
            if inspection is not None:
                inspections[file.uri] = inspection
    return inspections


def _uris(images: Sequence[CaptionedImage]) -> set[str]:
    return {image.file.uri for image in images}


def _names_of_contents(images: Sequence[CaptionedImage], inspections: Mapping[str, Inspection]) -> dict[str, str]:
    """Image ID -> the ID by which its split is decided: of equal images the first one, see `move_copies`."""
    first: dict[str, str] = {}
    names = {}
    for image in images:  # sorted by ID
        inspection = inspections.get(image.file.uri)
        key = inspection.sha256 if inspection else image.image_id
        names[image.image_id] = first.setdefault(key, image.image_id)
    return names


def _reasons(data: DataSet, faulty: Sequence[Reject], num_usable: int) -> str:
    """What to do about a split without images, with the first rejects."""
    advice = "check the split lists" if data.is_official else "give at least ten images with captions"
    rejects = [*data.rejects, *faulty]
    examples = "".join(f"\n  {r.source}:{r.line}: {r.image_id}: {r.reason.value}: {r.detail}" for r in rejects[:3])
    text = f" ({num_usable} images can be used); {advice}"
    return text + (f"; {len(rejects)} lines and images are rejected, such as{examples}" if rejects else "")
