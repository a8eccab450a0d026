"""Captions single pictures with an exported model."""

import pathlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from components.images import PictureError, inspect


class NoModel(ValueError):
    """The directory holds no model that captions."""


def find_model(directory: str) -> str:
    """A SavedModel's directory: the one given, or the newest version below it.

    Raises:
      NoModel: there is none.
    """
    root = pathlib.Path(directory)
    if (root / "saved_model.pb").is_file():
        return str(root)
    versions = [path for path in root.glob("*/saved_model.pb") if path.parent.name.isdecimal()]
    if not versions:
        raise NoModel(f"--model {directory}: no SavedModel there, and no numbered version with one")
    return str(max(versions, key=lambda path: int(path.parent.name)).parent)


def caption(model_dir: str, pictures: Sequence[str]) -> Iterator[tuple[str, str | None, str]]:
    """Captions pictures one by one.

    Args:
      model_dir: see `find_model`.
      pictures: files.

    Yields:
      (file, caption, "") or (file, None, what is wrong with it).

    Raises:
      NoModel: the model has no signature that captions pictures.
    """
    try:
        signature = tf.saved_model.load(find_model(model_dir)).signatures["serving_default"]
    except (KeyError, OSError, ValueError) as error:
        raise NoModel(f"--model {model_dir}: {str(error).splitlines()[0]}") from None
    for picture in pictures:
        try:
            data = pathlib.Path(picture).read_bytes()
            inspect(data)
        except OSError as error:
            yield picture, None, error.strerror or str(error)
        except PictureError as error:
            yield picture, None, f"{error.fault.value}: {error}"
        else:
            found = signature(image_bytes=tf.constant([data]))["caption"]
            yield picture, found.numpy()[0].decode(), ""
