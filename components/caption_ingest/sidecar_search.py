"""Which images of a data directory have captions in a file of their own, beside them."""

import dataclasses
import os
import pathlib
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from components.caption_ingest.candidate_files import is_outside
from components.caption_ingest.files import scan_readable
from components.caption_ingest.formats.base import SPLIT_NAMES, Source
from components.caption_ingest.formats.sidecars import SUFFIXES, has_captions, letters_in
from components.caption_ingest.names import IMAGE_SUFFIXES

_NUM_SAMPLES = 20  # sidecars of a suffix that are opened to see whether they hold captions
_SPLIT_DIRECTORY = re.compile(rf"({'|'.join(SPLIT_NAMES)})[-_]?\d*", re.IGNORECASE)  # train, also val2017


@dataclasses.dataclass(frozen=True)
class SidecarFiles:
    """The sidecars of a data directory; all paths are below it.

    Attributes:
      by_image: path of an image -> the paths of its sidecars, in the order of `SUFFIXES`.
      num_images: number of all images, with and without sidecars.
      rivals: path of an image -> the file names of all images that its sidecar may be about, if there are several.
    """

    by_image: Mapping[str, Sequence[str]]
    num_images: int
    rivals: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    @property
    def paths(self) -> frozenset[str]:
        """All sidecars."""
        return frozenset(path for own in self.by_image.values() for path in own)

    @property
    def are_usual(self) -> bool:
        """Whether most images have one, so that they are what the captions are in."""
        return 2 * len(self.by_image) >= self.num_images > 0

    def only(self, paths: Collection[str]) -> "SidecarFiles":
        """Returns the sidecars that are among some files."""
        kept = {image: [path for path in own if path in paths] for image, own in self.by_image.items()}
        return SidecarFiles({image: own for image, own in kept.items() if own}, self.num_images, self.rivals)

    def without_tags(self, root: str, source: Source) -> tuple["SidecarFiles", dict[str, str]]:
        """Leaves out the `.txt` of images that have another `.caption`: fine-tuning tools write tags there.

        Returns:
          the sidecars that are read; the first one that is not -> the reason.
        """
        both = {}
        for image, own in self.by_image.items():
            caption = next((path for path in own if path.lower().endswith(".caption")), None)
            text = next((path for path in own if path.lower().endswith(".txt")), None)
            if caption and text:
                both[image] = text, caption
        pairs = list(both.values())[:: max(1, -(-len(both) // _NUM_SAMPLES))]
        letters = [[letters_in(os.path.join(root, path), source) for path in pair] for pair in pairs]
        if all(text == caption for text, caption in letters):
            return self, {}
        unread = {text for text, _ in both.values()}
        reason = (
            f"{len(unread)} texts, as this one, differ from the .caption beside them, which is read; "
            "data.caption_files='**/*.txt' takes the texts"
        )
        return self.only(self.paths - unread), {min(unread): reason}

    def splits(self) -> dict[str, str | None]:
        """Returns the splits that the images' directories state; where all state one, it states nothing."""
        by_directory = {directory: _split_of(directory) for directory in set(map(posixpath.dirname, self.by_image))}
        if len({*by_directory.values()} - {None}) < 2:
            return dict.fromkeys(self.by_image)
        return {image: by_directory[posixpath.dirname(image)] for image in self.by_image}


def find_sidecars(root: str, source: Source, allow_links: bool = False) -> SidecarFiles:
    """Finds the sidecars below a directory, at any depth.

    Files of a suffix count if most of those that are looked into hold captions: tools also write boxes, tags and
    metadata beside images.

    Args:
      root: the directory.
      source: how the sidecars are read; its path does not matter.
      allow_links: whether links may point outside the directory.
    """
    by_image: dict[str, list[str]] = {}
    rivals: dict[str, Sequence[str]] = {}
    num_images = 0
    for directory, names in _walk(root, allow_links):
        images: dict[str, list[str]] = {}  # name of a sidecar without its suffix -> names of its image
        for name in names:
            stem, suffix = posixpath.splitext(name)
            if suffix.lower() in IMAGE_SUFFIXES:
                images.setdefault(stem, []).append(name)
                images[name] = [name]
                num_images += 1
        for suffix in SUFFIXES if images else ():
            for name in names:
                if name.lower().endswith(suffix) and (own := images.get(name[: -len(suffix)])):
                    by_image.setdefault(f"{directory}{own[0]}", []).append(f"{directory}{name}")
                    rivals.update({f"{directory}{own[0]}": own} if len(own) > 1 else {})
    kept = tuple(suffix for suffix in SUFFIXES if _hold_captions(root, by_image, suffix, source))
    of_captions = {image: [path for path in own if path.lower().endswith(kept)] for image, own in by_image.items()}
    return SidecarFiles({image: own for image, own in of_captions.items() if own}, num_images, rivals)


def _walk(root: str, allow_links: bool) -> Iterator[tuple[str, list[str]]]:
    """Yields the directories below the root, "" or with a slash at the end, and the names of the files in each."""
    waiting, entered = [""], {os.path.realpath(root)}
    while waiting:
        directory = waiting.pop()
        names = []
        for entry in scan_readable(os.path.join(root, directory)):
            is_link = entry.is_symlink()
            if entry.name.startswith((".", "__MACOSX")):
                continue
            if not entry.is_dir():
                # of an image that is a link, the ingest says whether it may be one
                is_image = posixpath.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES
                if (
                    not is_link
                    or allow_links
                    or is_image
                    or not is_outside(pathlib.Path(entry.path), pathlib.Path(root))
                ):
                    names.append(entry.name)
            elif not is_link:
                waiting.append(f"{directory}{entry.name}/")
            elif allow_links and (real := os.path.realpath(entry.path)) not in entered:
                entered.add(real)
                waiting.append(f"{directory}{entry.name}/")
        yield directory, sorted(names)


def _hold_captions(root: str, by_image: Mapping[str, Sequence[str]], suffix: str, source: Source) -> bool:
    paths = [path for own in by_image.values() for path in own if path.lower().endswith(suffix)]
    samples = paths[:: max(1, -(-len(paths) // _NUM_SAMPLES))]
    return bool(samples) and 2 * sum(has_captions(os.path.join(root, path), source) for path in samples) >= len(samples)


def _split_of(directory: str) -> str | None:
    stated = [match[1].lower() for part in directory.split("/") if (match := _SPLIT_DIRECTORY.fullmatch(part))]
    return SPLIT_NAMES[stated[-1]] if stated else None
