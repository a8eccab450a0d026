"""Image names in captions -> files: where the captions say, or elsewhere if the file can be no other image's."""

import collections
import posixpath
from collections.abc import Iterable, Mapping, Sequence

from components.caption_ingest.archives import find_packed
from components.caption_ingest.broken_links import find_broken, find_hidden
from components.caption_ingest.files import Files, NameMatch
from components.caption_ingest.grouping import ImageCaptions
from components.caption_ingest.image_file import ImageFile
from components.caption_ingest.names import LOOSENESS, Spelling, is_absolute, num_common_parts
from components.caption_ingest.nearest_names import NearestNames
from components.caption_ingest.rejects import Reason, Reject, reject_image

Claim = tuple[int, str]  # how little an image's name is like a file's path, and the image's ID


def resolve_names(
    images: Sequence[ImageCaptions], files: Files, data_dir: str, location: str
) -> list[ImageFile | Reject]:
    """Finds the file of every image, or the reason why it has none.

    Args:
      images: all images of the captions, since one file is not used for two of them.
      files: the files of the data directory.
      data_dir: the directory, whose links and hidden files are searched if images are missing.
      location: where archives are read for the same: the directory, or the URI that it is the outline of.

    Returns:
      the file or the reject of each image.
    """
    claims = _claims(images)
    nearest = NearestNames(path for paths in files.by_name.values() for path in paths if path not in claims)
    missing = [image.image_id for image in images if not image.match.file and not image.match.candidates]
    archives = (path for path, file in files.by_path.items() if not file.outside_root and not file.container)
    packed = find_packed(location, (path for path in archives if path not in files.containers), missing)
    hints = find_hidden(data_dir, missing) | find_broken(data_dir, missing) | packed
    return [_resolve(image, claims, nearest, hints) for image in images]


def count_spellings(images: Iterable[ImageCaptions]) -> dict[Spelling, int]:
    """Counts the images by how their names are spelled, the most alike first."""
    counts = collections.Counter(image.match.spelling for image in images)
    return {spelling: counts[spelling] for spelling in Spelling if counts[spelling]}


def describe_spellings(counts: Mapping[Spelling, int]) -> str:
    """Puts `count_spellings` into words.

    >>> describe_spellings({Spelling.EXACT: 58, Spelling.NO_SUFFIX: 2})
    'matched 60 images: 58 as spelled, 2 without suffix'
    """
    parts = ", ".join(f"{number} {spelling.value}" for spelling, number in counts.items())
    return f"matched {sum(counts.values())} images: {parts}"


def spellings_warning(counts: Mapping[Spelling, int]) -> list[str]:
    """Describes how names were matched, if some are less like their files' than another case makes them."""
    is_loose = any(LOOSENESS[spelling] > LOOSENESS[Spelling.CASE] for spelling in counts)
    return [describe_spellings(counts)] if is_loose else []


def ambiguous_name(files: Sequence[ImageFile]) -> str:
    """The detail of a reject whose name may mean several files."""
    is_one_name = len({posixpath.basename(file.uri) for file in files}) == 1
    way_out = "include the directory" if is_one_name else "name it as it is spelled"
    return f"the name may mean {len(files)} files: {_first_three(files)}; the captions must {way_out}"


def _claims(images: Sequence[ImageCaptions]) -> dict[str, list[Claim]]:
    """Path of a file -> the images that it may be, first those whose names are most like it."""
    claims: dict[str, list[Claim]] = {}
    inside = [image for image in images if not _escapes_root(image.match)]  # the others get no file
    for image in inside:
        match = image.match
        if match.file and not match.candidates:
            claims.setdefault(match.file.uri, []).append(_claim(image, match.file))
    claimed = set(claims)
    for image in inside:
        match = image.match
        if match.file and match.candidates and claimed.isdisjoint(file.uri for file in match.candidates):
            claims.setdefault(match.file.uri, []).append(_claim(image, match.file))
    return {path: sorted(images_of_file) for path, images_of_file in claims.items()}


def _claim(image: ImageCaptions, file: ImageFile) -> Claim:
    looseness = 0 if image.image_id == file.uri else 1 + LOOSENESS[image.match.spelling]
    if image.match.spelling is Spelling.ABSOLUTE:  # those with more of the file's directories come first
        looseness += file.uri.count("/") + 1 - num_common_parts(image.image_id, file.uri)
    return looseness, image.image_id


def _resolve(
    image: ImageCaptions, claims: Mapping[str, Sequence[Claim]], nearest: NearestNames, hints: Mapping[str, str]
) -> ImageFile | Reject:
    name, file, candidates = image.image_id, image.match.file, image.match.candidates
    if _escapes_root(image.match):
        detail = "the name points outside the data directory"
        if ".." not in name.replace("\\", "/").split("/"):
            detail = "an absolute path, and no file of the data directory has its end"
        return reject_image(image, Reason.OUTSIDE_DATA_DIR, detail)
    if candidates and file is None:
        if "/" in name and not is_absolute(name) and not candidates[0].uri.endswith(f"/{name}"):
            detail = f"no such file; other files with this name: {_first_three(candidates)}"
            return reject_image(image, Reason.MISSING_IMAGE, detail)
        return reject_image(image, Reason.AMBIGUOUS_NAME, ambiguous_name(candidates))
    if file is None:
        hint = hints.get(name, "")
        if not hint and (similar := nearest.to(name)):
            hint = f"the nearest that the captions do not name: {', '.join(similar)}"
        detail = f"no such file in the data directory{'; ' if hint else ''}{hint}"
        return reject_image(image, Reason.MISSING_IMAGE, detail)
    if candidates and [image_id for _, image_id in claims.get(file.uri, ())] != [name]:
        return reject_image(image, Reason.AMBIGUOUS_NAME, ambiguous_name(candidates))
    if len(claims[file.uri]) > 1 and (reject := _reject_contender(image, file, claims[file.uri])):
        return reject
    if file.outside_root:
        detail = f"{file.uri} is a link that points outside the data directory; data.allow_links=true takes it"
        return reject_image(image, Reason.OUTSIDE_DATA_DIR, detail)
    return file


def _reject_contender(image: ImageCaptions, file: ImageFile, claims: Sequence[Claim]) -> Reject | None:
    """Rejects an image unless its name is more like a file than those of the other images that it may be."""
    closest = [claim for claim in claims if claim[0] == claims[0][0]]
    if _claim(image, file) not in closest:
        return reject_image(image, Reason.MISSING_IMAGE, f"no such file; {file.uri} is another image of the captions")
    if len(closest) > 1:
        both = " and ".join(image_id for _, image_id in closest[:2])
        return reject_image(image, Reason.AMBIGUOUS_NAME, f"{both} do not exist, and both may mean {file.uri}")
    return None


def _escapes_root(match: NameMatch) -> bool:
    """Whether a name contains `..`, or is an absolute path whose end no listed file has, on Windows or elsewhere."""
    name = match.image_id
    is_unmatched = match.file is None and not match.candidates
    return ".." in name.replace("\\", "/").split("/") or (is_unmatched and is_absolute(name))


def _first_three(files: Sequence[ImageFile]) -> str:
    return f"{', '.join(file.uri for file in files[:3])}{', …' if len(files) > 3 else ''}"
