"""Captions single pictures with an exported model."""

import pathlib
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from components.images import PictureError, for_tensorflow, inspect


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


def load(directory: str) -> Callable[..., dict[str, tf.Tensor]]:
    """Loads a model.

    Args:
      directory: see `find_model`.

    Returns:
      its `serving_default`.

    Raises:
      NoModel: there is none, or it has no signature that captions pictures.
    """
    found = find_model(directory)
    try:
        signature = tf.saved_model.load(found).signatures.get("serving_default")
    except (OSError, ValueError) as error:
        raise NoModel(f"--model {directory}: {str(error).splitlines()[0]}") from None
    if (
        signature is None
        or "image_bytes" not in signature.structured_input_signature[1]
        or "caption" not in signature.structured_outputs
    ):
        raise NoModel(f"--model {directory}: has no serving_default from image_bytes to caption")
    return signature


def caption(
    model: Callable[..., dict[str, tf.Tensor]], pictures: Sequence[str]
) -> Iterator[tuple[str, str | None, str]]:
    """Captions pictures one by one.

    Args:
      model: of `load`.
      pictures: files.

    Yields:
      (file, caption, "") or (file, None, what is wrong with it).
    """
    for picture in pictures:
        try:
            data = pathlib.Path(picture).read_bytes()
            inspect(data)
            data = for_tensorflow(data)
        except OSError as error:
            yield picture, None, error.strerror or str(error)
        except PictureError as error:
            yield picture, None, f"{error.fault.value}: {error}"
        else:
            yield picture, model(image_bytes=tf.constant([data]))["caption"].numpy()[0].decode(), ""
