"""Material for tests: pictures and data directories."""

import io
import pathlib

from PIL import Image

ROOT = pathlib.Path(__file__).parent.parent


def encode(picture: Image.Image, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def write_data_set(directory: pathlib.Path, lines: str | bytes, lists: dict[str, list[str]] | None = None) -> None:
    """A data directory in Flickr8k's layout, pictures left out."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "captions.token.txt").write_bytes(lines.encode() if isinstance(lines, str) else lines)
    for name, ids in (lists or {}).items():
        (directory / f"{name}Images.txt").write_text("".join(f"{image_id}\n" for image_id in ids))
