"""Image names in captions -> files: where the captions say, or elsewhere if the file can be no other image's."""

import os
import pathlib
from collections.abc import Mapping, Sequence

from components.caption_ingest.grouping import ImageCaptions
from components.caption_ingest.image_file import ImageFile
from components.caption_ingest.rejects import Reason, Reject, reject_image


def resolve_names(images: Sequence[ImageCaptions]) -> list[ImageFile | Reject]:
    """Finds the file of every image, or the reason why it has none.

    Args:
      images: all images of the captions, since one file is not used for two of them.

    Returns:
      the file or the reject of each image.
    """
    claims = _claims(images)
    return [_resolve(image, claims) for image in images]


def ambiguous_name(files: Sequence[ImageFile]) -> str:
    """The detail of a reject whose name may mean several files."""
    return f"the name may mean {len(files)} files: {_first_three(files)}; the captions must include the directory"


def _claims(images: Sequence[ImageCaptions]) -> dict[str, list[str]]:
    """Path of a file -> the IDs of the images that it may be, first the image that is named by this path."""
    claims: dict[str, list[str]] = {}
    inside = [image for image in images if not _escapes_root(image.image_id)]  # the others get no file
    for image in inside:
        match = image.match
        if match.file and not match.candidates:
            claims.setdefault(match.file.uri, []).append(image.image_id)
    claimed = set(claims)
    for image in inside:
        match = image.match
        if match.file and match.candidates and claimed.isdisjoint(file.uri for file in match.candidates):
            claims.setdefault(match.file.uri, []).append(image.image_id)
    return {path: sorted(ids, key=lambda image_id: image_id != path) for path, ids in claims.items()}


def _resolve(image: ImageCaptions, claims: Mapping[str, Sequence[str]]) -> ImageFile | Reject:
    name, file, candidates = image.image_id, image.match.file, image.match.candidates
    if _escapes_root(name):
        return reject_image(image, Reason.OUTSIDE_DATA_DIR, "the name points outside the data directory")
    if candidates and file is None:
        if "/" in name and not candidates[0].uri.endswith(f"/{name}"):
            detail = f"no such file; other files with this name: {_first_three(candidates)}"
            return reject_image(image, Reason.MISSING_IMAGE, detail)
        return reject_image(image, Reason.AMBIGUOUS_NAME, ambiguous_name(candidates))
    if file is None:
        return reject_image(image, Reason.MISSING_IMAGE, "no such file in the data directory")
    if candidates and claims.get(file.uri) != [name]:
        return reject_image(image, Reason.AMBIGUOUS_NAME, ambiguous_name(candidates))
    first, *others = claims[file.uri]
    has_other_image = first == file.uri and first != name
    if has_other_image:
        return reject_image(image, Reason.MISSING_IMAGE, f"no such file; {file.uri} is another image of the captions")
    if file.uri != first and others:
        both = " and ".join(sorted((first, *others))[:2])
        return reject_image(image, Reason.AMBIGUOUS_NAME, f"{both} do not exist, and both may mean {file.uri}")
    if file.outside_root:
        return reject_image(
            image, Reason.OUTSIDE_DATA_DIR, f"{file.uri} is a link that points outside the data directory"
        )
    return file


def _escapes_root(name: str) -> bool:
    """Whether a name is an absolute path, on Windows or elsewhere, or contains `..`."""
    is_from_windows = ("\\" in name or ":" in name) and pathlib.PureWindowsPath(name).is_absolute()
    return is_from_windows or os.path.isabs(name) or ".." in name.replace("\\", "/").split("/")


def _first_three(files: Sequence[ImageFile]) -> str:
    return f"{', '.join(file.uri for file in files[:3])}{', …' if len(files) > 3 else ''}"
