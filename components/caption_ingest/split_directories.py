"""Official splits as directories of the images, where nothing else states splits: `train/a.jpg`, `test/b.jpg`."""

import re
from collections.abc import Sequence

from components.caption_ingest.formats.base import SPLIT_NAMES
from components.caption_ingest.grouping import ImageCaptions
from components.caption_ingest.image_file import ImageFile
from components.caption_ingest.rejects import Reject
from components.shared.records import EVAL, TEST, TRAIN

_IMAGES = "(?:images?|img|imgs)"
# train, also val2017, train_images and images-test
_NAME = re.compile(rf"(?:{_IMAGES}[-_.]?)?({'|'.join(SPLIT_NAMES)})(?:[-_]?\d+)?(?:[-_.]?{_IMAGES})?", re.IGNORECASE)


def find_directory_splits(
    images: Sequence[ImageCaptions], files: Sequence[ImageFile | Reject]
) -> tuple[list[str | None], list[str]]:
    """Finds the splits that the directories of the images state, if all are in such directories.

    Of identical files in several directories, the test split has the image, then eval.

    Args:
      images: the images.
      files: the file of each image, or the reject of one that has none.

    Returns:
      the split of each image, train for one without file; all None if they are not in directories of train and another
      split. A warning if some of the images are, and others are not.
    """
    unstated: list[str | None] = [None] * len(images)
    stated = [
        _split_of_files([file, *image.match.candidates]) if isinstance(file, ImageFile) else TRAIN
        for image, file in zip(images, files, strict=True)
    ]
    found = [split for split, file in zip(stated, files, strict=True) if isinstance(file, ImageFile)]
    splits = {split for split in found if split}
    if TRAIN not in splits or len(splits) < 2:
        return unstated, []
    if num_outside := found.count(None):
        return unstated, [
            f"{len(found) - num_outside} images are in directories that are named as splits, and {num_outside} are "
            "not: the directories are not used as splits; move the images, or add split lists"
        ]
    return list(stated), []


def _split_of_files(files: Sequence[ImageFile]) -> str | None:
    splits = {split_of_path(file.uri) for file in files}
    return next((split for split in (TEST, EVAL, TRAIN) if split in splits), None)


def split_of_path(path: str) -> str | None:
    """Returns the split of the first directory in a path that is named as one.

    >>> [split_of_path(path) for path in ("coco/val2017/1.jpg", "train/dev/1.jpg", "training_sets/1.jpg", "test.jpg")]
    ['eval', 'train', None, None]
    """
    matches = filter(None, map(_NAME.fullmatch, path.split("/")[:-1]))
    return next((SPLIT_NAMES[match[1].lower()] for match in matches), None)
