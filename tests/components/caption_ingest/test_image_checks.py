"""Which inspected images are rejected."""

import collections
import dataclasses

import pytest

from components.caption_ingest.dataset import CaptionedImage
from components.caption_ingest.image_checks import (
    copies_warning,
    drop_faulty,
    move_copies,
    reject_copies,
    resolve_ambiguous_names,
    served_warning,
)
from components.caption_ingest.image_file import ImageFile
from components.caption_ingest.inspection import Inspection
from components.caption_ingest.rejects import Reason
from components.caption_ingest.settings import SplitFractions
from components.caption_ingest.splits import hash_split


@pytest.fixture
def images() -> list[CaptionedImage]:
    splits = {"a.jpg": "train", "b.jpg": "eval", "c.jpg": "test", "new.jpg": "train"}
    return [
        CaptionedImage(name, split, ImageFile(f"images/{name}", 1, 1), ("one", "two"), "captions.txt", line)
        for line, (name, split) in enumerate(splits.items(), start=1)
    ]


@pytest.fixture
def inspections(images) -> dict[str, Inspection]:
    return {image.file.uri: Inspection(f"sha of {image.image_id}", 4, 3) for image in images}


@pytest.fixture
def duplicates(inspections) -> dict[str, Inspection]:
    return inspections | {f"images/{name}": Inspection("same", 4, 3) for name in ("a.jpg", "c.jpg")}


def test_an_image_in_two_official_splits_is_rejected_in_one(images, duplicates):
    kept, [reject] = reject_copies(images, duplicates)
    assert [image.image_id for image in kept] == ["b.jpg", "c.jpg", "new.jpg"]
    assert (reject.image_id, reject.reason, reject.rows) == ("a.jpg", Reason.DUPLICATE, 2)
    assert reject.detail == "same content as c.jpg in test"


def hashed(names: list[str]) -> list[CaptionedImage]:
    """Images in the splits that their names have by hash."""
    return [
        CaptionedImage(
            name, hash_split(name, SplitFractions()), ImageFile(f"images/{name}", 1, 1), ("one",), "captions.txt", line
        )
        for line, name in enumerate(sorted(names), start=1)
    ]


def test_copies_are_in_the_split_of_the_first_if_splits_are_hashed():
    names = [f"{number}.jpg" for number in range(1000)]
    images = hashed([*names, *(f"copy {number}.jpg" for number in range(200))])
    inspections = {image.file.uri: Inspection(f"sha of {image.image_id}") for image in images}
    # one image that is not available, and pairs of equal images
    inspections |= {f"images/copy {number}.jpg": Inspection("same") for number in range(200)}
    inspections |= {f"images/{number}.jpg": Inspection(f"sha of {number // 2}") for number in range(400)}
    moved = move_copies(images, inspections, SplitFractions())
    assert [image.image_id for image in moved] == [image.image_id for image in images]
    splits_of = collections.defaultdict(set)
    for image in moved:
        splits_of[inspections[image.file.uri].sha256].add(image.split)
    assert all(len(splits) == 1 for splits in splits_of.values()) and len(splits_of) == 801
    sizes = collections.Counter(next(iter(splits)) for splits in splits_of.values())
    assert sizes["test"] / len(splits_of) == pytest.approx(0.1, abs=0.03)  # and not all copies in test
    single = {image.image_id: image.split for image in images if image.image_id in names[400:]}
    assert single.items() <= {image.image_id: image.split for image in moved}.items()
    # a further copy moves nothing
    more = [*images, *hashed(["copy x.jpg"])]
    inspections["images/copy x.jpg"] = Inspection("same")
    again = move_copies(more, inspections, SplitFractions())
    assert {i.image_id: i.split for i in moved}.items() <= {i.image_id: i.split for i in again}.items()


def test_copies_are_counted_and_told(images, duplicates, inspections):
    assert copies_warning(images, inspections) == []
    [warning] = copies_warning(images, duplicates)
    assert warning == (
        "1 images have the same content as others, 1 of them as a.jpg: equal images are in one split, and count once "
        "in the metrics"
    )


def test_images_that_the_exported_model_refuses_are_told(images, inspections):
    assert served_warning(images, inspections) == []
    for name in ("b.jpg", "new.jpg"):
        inspections[f"images/{name}"] = Inspection("sha", 4, 3, is_served=False)
    [warning] = served_warning(images, inspections)
    assert warning.startswith("2 images, such as b.jpg, are WebP, TIFF, JPEG 2000, AVIF, or BMP with a palette")


def test_faulty_images_are_rejected(images, inspections):
    inspections["images/b.jpg"] = Inspection("sha", fault="truncated", detail="3 bytes missing")
    del inspections["images/c.jpg"]
    kept, rejects = drop_faulty(images, inspections)
    assert [image.image_id for image in kept] == ["a.jpg", "new.jpg"]
    assert [(reject.image_id, reject.reason, reject.rows, reject.detail) for reject in rejects] == [
        ("b.jpg", Reason.TRUNCATED, 2, "3 bytes missing"),
        ("c.jpg", Reason.UNREADABLE_IMAGE, 2, "images/c.jpg can't be read, or changes while it is read"),
    ]


def test_files_with_one_name_must_have_the_same_content(images, inspections):
    copies = [
        dataclasses.replace(image, identical_files=(ImageFile(f"copies/{image.image_id}", 1, 1),)) for image in images
    ]
    inspections["copies/a.jpg"] = inspections["images/a.jpg"]
    inspections["copies/b.jpg"] = Inspection("other", 4, 3)
    del inspections["images/new.jpg"]  # neither file can be read, which `drop_faulty` reports
    kept, rejects = resolve_ambiguous_names(copies, inspections)  # the copy of c can't be read
    assert [image.image_id for image in kept] == ["a.jpg", "new.jpg"]
    assert [(reject.image_id, reject.reason, reject.rows) for reject in rejects] == [
        ("b.jpg", Reason.AMBIGUOUS_NAME, 2),
        ("c.jpg", Reason.AMBIGUOUS_NAME, 2),
    ]
    assert rejects[0].detail.startswith("the name may mean 2 files: images/b.jpg, copies/b.jpg;")
