"""The configs that come with the package, which `--config` takes by name."""

import os
import pathlib

DIRECTORY = pathlib.Path(__file__).parent / "configs"


def names() -> list[str]:
    """The names, those of overlays included."""
    return sorted(_files())


def locate(config: str | os.PathLike) -> pathlib.Path:
    """The file of a config: that of this path or, where there is none, of the built-in config of this name.

    >>> locate("flickr8k").name
    'flickr8k.yaml'
    """
    path = pathlib.Path(config)
    return path if path.is_file() else _files().get(str(config), path)


def _files() -> dict[str, pathlib.Path]:
    return {path.stem: path for path in DIRECTORY.rglob("*.yaml")}
