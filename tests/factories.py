"""What tests are made of: images, data directories, a clock that stands still."""

import datetime
import io
import json
import pathlib

from PIL import Image

ROOT = pathlib.Path(__file__).parent.parent
STEPS = (  # of the pipeline, without the resolver
    "CaptionIngest",
    "ImportSchemaGen",
    "StatisticsGen",
    "ExampleValidator",
    "FeatureExtractor",
    "Transform",
    "Trainer",
    "Exporter",
    "BleuEvaluator",
    "Pusher",
    "Report",
)
RESOLVER = "LatestBlessedModel"


def encode(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write_data_set(directory: pathlib.Path, lines: str | bytes, lists: dict[str, list[str]] | None = None) -> None:
    """A data directory in Flickr8k's layout, images left out."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "captions.token.txt").write_bytes(lines.encode() if isinstance(lines, str) else lines)
    for name, ids in (lists or {}).items():
        (directory / f"{name}Images.txt").write_text("".join(f"{image_id}\n" for image_id in ids))


def frozen_datetime(now: datetime.datetime) -> type[datetime.datetime]:
    """The class `datetime` with a clock that stands still."""

    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return now.astimezone(tz)

    return Frozen


def num_features(store_dir: str) -> int:
    """Number of images that a feature store holds."""
    indices = pathlib.Path(store_dir).glob("*/shard-*.json")
    return sum(len(json.loads(index.read_text())["sha256"]) for index in indices)
