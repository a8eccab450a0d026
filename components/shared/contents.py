"""What is in the files of a directory: by digest, and as it was when it was published.

A power cut or a full disk can leave files that are empty, cut or zeros behind although ML Metadata records their step
as complete. Their descriptions show it.
"""

import hashlib
import json
import os
from collections.abc import Iterable

from ml_metadata.proto import metadata_store_pb2

from components.shared import storage

FILES = "files"  # custom property of an artifact: the description of its files
_SAMPLE = 4096  # bytes at either end of a file that are compared; reading everything would cost each run seconds


def describe(directory: str) -> str:
    """Describes the files below a directory: JSON, {name: [size, hash of both ends, or version in a bucket]}."""
    return json.dumps(_describe_files(directory))


def find_damage(directory: str, description: str) -> str | None:
    """Compares a directory with its earlier description.

    Args:
      directory: the directory; files that were added do not matter.
      description: of `describe`.

    Returns:
      the path of a file that is gone or has changed; None if there is none, or if the whole directory is gone.
    """
    described = json.loads(description)
    found = _describe_files(directory, described)
    # some stores keep the names of directories in which there is nothing any more
    is_there = storage.exists if storage.is_local(directory) else storage.list_files
    if not any(found.values()) and not is_there(directory):
        return None
    return next((os.path.join(directory, name) for name, file in described.items() if found.get(name) != file), None)


def digest(directory: str) -> str:
    """Hash of the names and contents of all files below a directory."""
    result = hashlib.sha256()
    for name in storage.list_files(directory):
        result.update(f"{name}\0{storage.sha256(os.path.join(directory, name))}\0".encode())
    return result.hexdigest()


def are_equal(directory: str, other: str) -> bool:
    """Whether two directories have the same files, by name and content; the first difference decides."""
    files, other_files = storage.list_entries(directory), storage.list_entries(other)
    if not storage.exists(other) or files.keys() != other_files.keys():
        return False
    if any(entry.size != other_files[name].size for name, entry in files.items()):
        return False
    smallest_first = sorted(files, key=lambda name: files[name].size)
    paths = ((os.path.join(directory, name), os.path.join(other, name)) for name in smallest_first)
    return all(storage.sha256(one) == storage.sha256(two) for one, two in paths)


def damaged_file(artifact: metadata_store_pb2.Artifact) -> str | None:
    """The path of a damaged file of a published artifact; None if all are intact, or if nothing is known of them."""
    properties = artifact.custom_properties  # reading an absent key would add it
    return find_damage(artifact.uri, properties[FILES].string_value) if FILES in properties else None


def _describe_files(directory: str, names: Iterable[str] | None = None) -> dict[str, list[int | str] | None]:
    """Describes files below a directory, all unless some are named; those of a bucket with one listing."""
    if not storage.is_local(directory):
        return {name: [entry.size, entry.version] for name, entry in storage.list_entries(directory).items()}
    names = storage.list_files(directory) if names is None else names
    return {name: _describe_file(os.path.join(directory, name)) for name in names}


def _describe_file(path: str) -> list[int | str] | None:
    size = storage.size(path)
    if size is None:  # gone, or a link that leads nowhere
        return None
    with storage.open_for_reading(path, _SAMPLE) as file:
        ends = hashlib.sha256(file.read(_SAMPLE))
        if size > _SAMPLE:
            file.seek(max(_SAMPLE, size - _SAMPLE))
            ends.update(file.read(_SAMPLE))
    return [size, ends.hexdigest()[:16]]
