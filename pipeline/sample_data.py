"""The built-in dataset: synthetic scenes in Flickr8k's own layout, so that the real reader reads them."""

import os
import pathlib
import tempfile

from components.shared import scenes, storage
from components.shared.code_identity import code_identity

IMAGES, TEXT = "Flicker8k_Dataset", "Flickr8k_text"  # the spelling is Flickr8k's
# of ten images, one is in each of these lists
_LISTS = {8: "Flickr_8k.devImages.txt", 9: "Flickr_8k.testImages.txt"}
_TRAIN_LIST = "Flickr_8k.trainImages.txt"
_CAPTIONS = "Flickr8k.token.txt"
_COMPLETE = ".sample"  # names what `ensure` has drawn
_DRAWN_BY = ".scenes"  # the identity of the code that drew the images


def write(directory: str | os.PathLike, num_images: int, seed: int, language: str = "en") -> int:
    """Draws the images that are missing; a larger dataset extends a smaller one.

    After a change of `components.shared.scenes` all are drawn again: no directory has images of two versions, or
    captions of another version than its images.

    Args:
      directory: the dataset's directory.
      num_images: number of images in total.
      seed: seed of the scenes.
      language: the language of the captions, a key of `scenes.SENTENCES`.

    Returns:
      number of images that were drawn.
    """
    root = pathlib.Path(directory)
    if not _is_drawn_by_this_code(str(root)):
        _clear(root)
    num_drawn = 0
    for index in range(num_images):
        path = root / IMAGES / name(seed, index)
        if not path.exists():
            with storage.atomic_write(str(path), durable=False) as partial:
                pathlib.Path(partial).write_bytes(scenes.jpeg(seed, index))
            num_drawn += 1
    lists: dict[str, list[str]] = {_TRAIN_LIST: [], **{file: [] for file in _LISTS.values()}}
    lines = []
    for index in range(num_images):
        lists[_LISTS.get(index % 10, _TRAIN_LIST)].append(name(seed, index))
        sentences = scenes.SENTENCES[language](seed, index)
        lines += [f"{name(seed, index)}#{number}\t{text}" for number, text in enumerate(sentences)]
    for file, names in lists.items():
        storage.write_text(str(root / TEXT / file), "".join(f"{line}\n" for line in names))
    if num_drawn:
        os.sync()  # once for all images
    # last: a directory with captions is complete
    storage.write_text(str(root / TEXT / _CAPTIONS), "".join(f"{line}\n" for line in lines))
    return num_drawn


def ensure(directory: str | os.PathLike, num_images: int, seed: int, language: str = "en") -> int:
    """Draws the dataset unless it exists; files that were edited since are kept.

    Args:
      directory: the dataset's directory; in a bucket, it is drawn on this disk and then uploaded.
      num_images: number of images in total.
      seed: seed of the scenes.
      language: the language of the captions, a key of `scenes.SENTENCES`.

    Returns:
      number of images that were drawn.
    """
    directory = os.fspath(directory)
    content = f"{num_images} images of seed {seed}" + (f", {language}\n" if language != "en" else "\n")
    is_current = _is_drawn_by_this_code(directory)
    if is_current and _read(directory, _COMPLETE) == content:
        return 0
    if storage.is_local(directory):
        num_drawn = write(directory, num_images, seed, language)
        storage.write_text(os.path.join(directory, _COMPLETE), content)
        return num_drawn
    if not is_current:
        storage.remove(directory)
    with tempfile.TemporaryDirectory() as scratch:
        num_drawn = write(scratch, num_images, seed, language)
        storage.write_text(os.path.join(scratch, _COMPLETE), content)
        storage.copy_tree(scratch, directory, last=[os.path.join(TEXT, _CAPTIONS), _COMPLETE])
    return num_drawn


def name(seed: int, index: int) -> str:
    """File name of a scene's image."""
    return f"scene_{seed}_{index:05d}.jpg"


def _is_drawn_by_this_code(directory: str) -> bool:
    return _read(directory, _DRAWN_BY) == code_identity(scenes.__name__)


def _read(directory: str, marker: str) -> str | None:
    try:
        return storage.read_text(os.path.join(directory, marker))
    except FileNotFoundError:
        return None


def _clear(root: pathlib.Path) -> None:
    """Removes what other code drew, and then marks the directory as this code's."""
    for path in (root / _COMPLETE, root / TEXT / _CAPTIONS, *(root / IMAGES).glob("scene_[0-9]*_[0-9]*.jpg")):
        path.unlink(missing_ok=True)
    # last: an interrupted removal starts over
    storage.write_text(str(root / _DRAWN_BY), code_identity(scenes.__name__))
