"""Opening the containers of `components.shared.images` as caption files."""

from typing import TypeVar

from components.caption_ingest.formats.base import Source, UnreadableFileError
from components.shared.images.container_files import DamagedContainerError
from components.shared.images.containers import open_container

Kind = TypeVar("Kind")


def open_source(source: Source, kind: type[Kind]) -> Kind:
    """Returns the index of a container.

    Args:
      source: the file.
      kind: the class of the container that it was detected as.

    Raises:
      UnreadableFileError: it is damaged, or no longer such a container.
    """
    try:
        container = open_container(source.location)
    except DamagedContainerError as error:
        raise UnreadableFileError(str(error)) from None
    if not isinstance(container, kind):
        raise UnreadableFileError(f"{source.location} has changed since it was listed")
    return container
