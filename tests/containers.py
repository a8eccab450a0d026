"""Containers for tests: tar archives and Parquet files."""

import io
import pathlib
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # Hugging Face's


def write_tar(
    path: pathlib.Path, members: Iterable[tuple[str, bytes | str]], format: int = tarfile.USTAR_FORMAT
) -> pathlib.Path:
    """Writes files, by name and content, into an archive, as `tarfile` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as archive:
        for name, content in members:
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_parquet(
    path: pathlib.Path,
    columns: Mapping[str, Sequence[Any] | pa.Array],
    types: Mapping[str, pa.DataType] | None = None,
    group: int = 2,
    **options: Any,
) -> pathlib.Path:
    """Writes columns into a Parquet file with so many rows per row group; `image` has Hugging Face's type."""
    path.parent.mkdir(parents=True, exist_ok=True)
    types = {"image": IMAGE_TYPE} | dict(types or {})
    arrays = {
        name: values if isinstance(values, pa.Array) else pa.array(values, types.get(name))
        for name, values in columns.items()
    }
    pq.write_table(pa.table(arrays), path, row_group_size=group, **options)
    return path


def hf_image(data: bytes | None, path: str | None = None) -> dict[str, Any]:
    """An image as Hugging Face's `datasets` writes it."""
    return {"bytes": data, "path": path}
