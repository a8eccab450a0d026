"""What a step's code is: a hash that goes into the cache key, so that changed code is never answered from the cache."""

import functools
import hashlib
import importlib.util
import pathlib

SUFFIXES = (".py", ".j2", ".css", ".js")  # code, and the templates of what it writes


@functools.cache
def source_hash(*modules: str) -> str:
    """Hash of the source of modules and packages (a package with all its modules).

    Args:
      *modules: dotted names, for example `components.tokenizer`. They are found, not imported.

    Returns:
      16 hexadecimal digits of a SHA-256 over the names and contents of the files.
    """
    digest = hashlib.sha256()
    for module in sorted(modules):
        for file in _files(module):
            digest.update(f"{module}/{file.name}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _files(module: str) -> list[pathlib.Path]:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {module}")
    if spec.submodule_search_locations is None:
        return [pathlib.Path(spec.origin)]
    return sorted(path for path in pathlib.Path(spec.origin).parent.iterdir() if path.suffix in SUFFIXES)
