"""Which inspected images are rejected: those with a fault, with an ambiguous name, or in two splits."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from components.caption_ingest.dataset import CaptionedImage
from components.caption_ingest.inspection import Inspection
from components.caption_ingest.name_resolution import ambiguous_name
from components.caption_ingest.rejects import Reason, Reject, reject_image
from components.caption_ingest.settings import SplitFractions
from components.caption_ingest.splits import hash_split
from components.shared.records import SPLITS

KeptAndRejected = tuple[list[CaptionedImage], list[Reject]]


def resolve_ambiguous_names(images: Iterable[CaptionedImage], inspections: Mapping[str, Inspection]) -> KeptAndRejected:
    """Rejects images whose name may mean several files that turn out to be different.

    Args:
      images: the images.
      inspections: uri -> inspection; files that could not be read are missing.

    Returns:
      the images that stay, and the rejects.
    """
    kept, rejects = [], []
    for image in images:
        files = (image.file, *image.identical_files)
        hashes = {inspections[file.uri].sha256 if file.uri in inspections else None for file in files}
        if len(hashes) == 1:
            kept.append(image)
        else:
            rejects.append(reject_image(image, Reason.AMBIGUOUS_NAME, ambiguous_name(files)))
    return kept, rejects


def drop_faulty(images: Iterable[CaptionedImage], inspections: Mapping[str, Inspection]) -> KeptAndRejected:
    """Rejects images that can't be read or decoded, or are too large or too small.

    Args:
      images: the images.
      inspections: uri -> inspection; files that could not be read are missing.

    Returns:
      the images that stay, and the rejects.
    """
    kept, rejects = [], []
    for image in images:
        inspection = inspections.get(image.file.uri)
        if inspection is None:
            detail = f"{image.file.uri} can't be read, or changes while it is read"
            rejects.append(reject_image(image, Reason.UNREADABLE_IMAGE, detail))
        elif inspection.fault:
            reason = Reason(inspection.fault)  # each ImageFault is a Reason of the same value
            rejects.append(reject_image(image, reason, inspection.detail))
        else:
            kept.append(image)
    return kept, rejects


def reject_copies(images: Sequence[CaptionedImage], inspections: Mapping[str, Inspection]) -> KeptAndRejected:
    """Keeps equal images with different names in one official split: nothing that is tested may be trained on.

    Test comes before eval, and eval before train: an image with a copy in a split that comes first is rejected.

    Args:
      images: images without faults.
      inspections: uri -> inspection.

    Returns:
      the images that stay, and the rejects.
    """
    kept, rejects = [], []
    for copies in _by_content(images, inspections):
        first = min(copies, key=lambda image: (-SPLITS.index(image.split), image.image_id))
        for image in copies:
            if image.split == first.split:
                kept.append(image)
            else:
                detail = f"same content as {first.image_id} in {first.split}"
                rejects.append(reject_image(image, Reason.DUPLICATE, detail))
    return sorted(kept, key=lambda image: image.image_id), rejects


def move_copies(
    images: Sequence[CaptionedImage], inspections: Mapping[str, Inspection], fractions: SplitFractions
) -> list[CaptionedImage]:
    """Puts equal images with different names into one split, where splits are hashed.

    It is the split of the image whose name comes first, so that copies leave the sizes of the splits as they are, and
    further copies move no image.

    Args:
      images: images without faults.
      inspections: uri -> inspection.
      fractions: the sizes of the splits.
    """
    moved = []
    for copies in _by_content(images, inspections):
        split = hash_split(min(image.image_id for image in copies), fractions)
        moved += [dataclasses.replace(image, split=split) for image in copies]
    return sorted(moved, key=lambda image: image.image_id)


def copies_warning(images: Sequence[CaptionedImage], inspections: Mapping[str, Inspection]) -> list[str]:
    """Warns of equal images with different names, where splits are hashed.

    Args:
      images: images without faults.
      inspections: uri -> inspection.

    Returns:
      one warning; none if all images are different.
    """
    groups = [copies for copies in _by_content(images, inspections) if len(copies) > 1]
    if not groups:
        return []
    largest = max(groups, key=len)
    num_copies = sum(len(copies) - 1 for copies in groups)
    return [
        f"{num_copies} images have the same content as others, {len(largest) - 1} of them as {largest[0].image_id}: "
        "equal images are in one split, and count once in the metrics"
    ]


def served_warning(images: Sequence[CaptionedImage], inspections: Mapping[str, Inspection]) -> list[str]:
    """Warns of images that are trained on, and that the exported model does not decode.

    Args:
      images: images without faults.
      inspections: uri -> inspection.

    Returns:
      one warning; none if there are no such images.
    """
    refused = [image.image_id for image in images if not inspections[image.file.uri].is_served]
    if not refused:
        return []
    return [
        f"{len(refused)} images, such as {refused[0]}, are WebP, TIFF, JPEG 2000, AVIF, or BMP with a palette or "
        "unusual channels: they are trained on, but the exported model's serving_default takes them only as PNG, to "
        "which the command caption converts them"
    ]


def _by_content(
    images: Iterable[CaptionedImage], inspections: Mapping[str, Inspection]
) -> Iterable[list[CaptionedImage]]:
    """The images of each content, in their order."""
    groups: dict[str, list[CaptionedImage]] = collections.defaultdict(list)
    for image in images:
        groups[inspections[image.file.uri].sha256].append(image)
    return groups.values()
