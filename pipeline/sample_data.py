"""The built-in data set: drawn scenes in Flickr8k's own layout, so that the real reader reads them.

python -m pipeline.sample_data DIRECTORY --images 500 --seed 7
"""

import argparse
import os
import pathlib

from components import scenes
from components.atomic import whole_file, write_text
from components.source import source_hash

# of ten pictures, one is held out for each
_LISTS = {8: "Flickr_8k.devImages.txt", 9: "Flickr_8k.testImages.txt"}
_TRAIN_LIST = "Flickr_8k.trainImages.txt"
PICTURES, TEXT = "Flicker8k_Dataset", "Flickr8k_text"  # the spelling is Flickr8k's
_CAPTIONS = "Flickr8k.token.txt"
_COMPLETE = ".sample"  # says what `ensure` has drawn
_DRAWN_BY = ".scenes"  # the hash of the code that drew the pictures


def write(directory: str | os.PathLike, images: int, seed: int) -> int:
    """Draws what is not there yet. Asked for more pictures later, it adds them, and the first ones stay as they are.

    After a change of `components.scenes` all are drawn anew: no directory has pictures of two versions, or captions of
    another version than its pictures.

    Args:
      directory: where to.
      images: pictures in all.
      seed: of the scenes.

    Returns:
      number of pictures that were drawn.
    """
    root = pathlib.Path(directory)
    if not _is_drawn_by_this_code(root):
        _clear(root)
    drawn = 0
    for index in range(images):
        path = root / PICTURES / name(seed, index)
        if not path.exists():
            with whole_file(str(path)) as partial:
                pathlib.Path(partial).write_bytes(scenes.jpeg(seed, index))
            drawn += 1
    lists: dict[str, list[str]] = {_TRAIN_LIST: [], **{file: [] for file in _LISTS.values()}}
    lines = []
    for index in range(images):
        lists[_LISTS.get(index % 10, _TRAIN_LIST)].append(name(seed, index))
        lines += [f"{name(seed, index)}#{number}\t{text}" for number, text in enumerate(scenes.sentences(seed, index))]
    for file, names in lists.items():
        write_text(str(root / TEXT / file), "".join(f"{line}\n" for line in names))
    # last: a directory with captions is complete
    write_text(str(root / TEXT / _CAPTIONS), "".join(f"{line}\n" for line in lines))
    return drawn


def ensure(directory: str | os.PathLike, images: int, seed: int) -> int:
    """Draws the data set unless it is there; one that was changed by hand since is left alone. Returns as `write`."""
    root = pathlib.Path(directory)
    marker = root / _COMPLETE
    wanted = f"{images} images of seed {seed}\n"
    if _is_drawn_by_this_code(root) and marker.exists() and marker.read_text() == wanted:
        return 0
    drawn = write(directory, images, seed)
    write_text(str(marker), wanted)
    return drawn


def name(seed: int, index: int) -> str:
    """File name of a scene's picture."""
    return f"scene_{seed}_{index:05d}.jpg"


def _is_drawn_by_this_code(root: pathlib.Path) -> bool:
    marker = root / _DRAWN_BY
    return marker.exists() and marker.read_text() == source_hash("components.scenes")


def _clear(root: pathlib.Path) -> None:
    """Removes what other code drew, and then says whose drawings the directory will hold."""
    for path in (root / _COMPLETE, root / TEXT / _CAPTIONS, *(root / PICTURES).glob("scene_[0-9]*_[0-9]*.jpg")):
        path.unlink(missing_ok=True)
    # last: a clearing that was interrupted is done again
    write_text(str(root / _DRAWN_BY), source_hash("components.scenes"))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Draws the sample data set, or adds pictures to it.")
    parser.add_argument("directory")
    parser.add_argument("--images", type=int, default=500, help="pictures in all (default 500)")
    parser.add_argument("--seed", type=int, default=7, help="of the scenes (default 7)")
    args = parser.parse_args()
    print(f"{write(args.directory, args.images, args.seed)} pictures drawn in {args.directory}")


if __name__ == "__main__":
    main()
