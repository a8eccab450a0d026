"""`backbone.json`: names the exported backbone of a feature store's directory, and describes it."""

import dataclasses
import os
import re

import pydantic

from components.shared import storage

BACKBONE = "backbone.json"
SAVED_MODEL = re.compile(r"backbone-\w+")  # directories of exported backbones


@dataclasses.dataclass(frozen=True)
class BackboneDescription:
    """The exported backbone.

    Attributes:
      name: the setting `feature_extractor.backbone`.
      weights: the setting `feature_extractor.weights`.
      size: side in pixels of its square input.
      saved_model: its directory, beside the description.
      grid: rows and columns of the feature map.
      channels: number of channels of the feature map.
      files: the files of the SavedModel, see `contents.describe`; "" where they are not known.
    """

    name: str
    weights: str
    size: pydantic.PositiveInt
    saved_model: str
    grid: tuple[pydantic.PositiveInt, pydantic.PositiveInt]
    channels: pydantic.PositiveInt
    files: str = ""

    def write(self, directory: str) -> None:
        """Writes the description into a store's directory."""
        storage.write_json(os.path.join(directory, BACKBONE), dataclasses.asdict(self))

    @classmethod
    def read(cls, directory: str) -> "BackboneDescription":
        """Reads the description in a store's directory.

        Raises:
          FileNotFoundError: there is none.
          ValueError: it is damaged, or names a directory elsewhere; the message names the file.
        """
        path = os.path.join(directory, BACKBONE)
        content = storage.read_json(path)
        try:
            description = pydantic.TypeAdapter(cls).validate_python(content)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"{path} does not describe a backbone: {place}: {first['msg']}") from error
        if not SAVED_MODEL.fullmatch(description.saved_model):
            raise ValueError(f"{path} does not describe a backbone: saved_model: {description.saved_model!r}")
        return description
