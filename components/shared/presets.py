"""KerasHub presets in a directory (https://keras.io/keras_hub), read safely: an optional extra, imported only to load.

Configs are data: Keras instantiates none but its own and KerasHub's registered classes, and no lambdas (`safe_mode`);
weights are HDF5. Nothing is unpickled, and nothing downloaded.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from components.shared import node_cache, storage

CONFIG, IMAGE_CONVERTER = "config.json", "image_converter.json"
EXTRA = "keras-hub"


def local_copy(place: str) -> tuple[str, str]:
    """Returns (the absolute path, so that no name of a preset to download is ever meant, or the URI; a local copy)."""
    place = os.path.abspath(place) if storage.is_local(place) else place
    return place, node_cache.tree(place)


def read_object(directory: str, name: str, label: str) -> Mapping[str, Any]:
    """Reads a serialized KerasHub object.

    Args:
      directory: the preset, on a disk.
      name: the file.
      label: the setting and the preset, for messages.

    Raises:
      ValueError: the file is missing, or is none of KerasHub's.
    """
    try:
        content = storage.read_json(os.path.join(directory, name))
    except FileNotFoundError:
        raise ValueError(
            f"{label} has no {name}; save the preset, including its image converter, with `save_to_preset`"
        ) from None
    except ValueError:
        content = None
    return checked(content, f"{label}: {name}")


def checked(content: Any, label: str) -> Mapping[str, Any]:
    """Refuses what is not a serialized object of KerasHub's own classes."""
    is_valid = (
        isinstance(content, dict)
        and isinstance(content.get("config"), dict)
        and isinstance(content.get("class_name"), str)
        and str(content.get("registered_name")).startswith("keras_hub>")
    )
    if not is_valid:
        raise ValueError(f"{label} is not that of a KerasHub preset")
    return content


@contextlib.contextmanager
def loading(label: str) -> Iterator[Any]:
    """Imports KerasHub to load a preset with it.

    Args:
      label: the setting and the preset, for messages.

    Yields:
      the package.

    Raises:
      ValueError: KerasHub is not installed, or the preset can't be loaded.
    """
    try:
        import keras_hub
    except ImportError as error:
        raise ValueError(
            f"{label} is a KerasHub preset, which needs the extra {EXTRA}: pip install 'caption-pipeline[{EXTRA}]'"
        ) from error
    try:
        yield keras_hub
    except (ValueError, TypeError, KeyError, OSError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{label} can't be loaded: {message}") from error
