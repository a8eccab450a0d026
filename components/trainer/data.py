"""What a training reads: features, token IDs and the vocabulary."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow_transform as tft

from components.shared import records, storage
from components.shared.features import Manifest
from components.shared.models.protocol import ModelInputs
from components.trainer import devices
from components.trainer.input_pipeline import load_ids


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The data of a training.

    Attributes:
      manifest: the manifest of the features.
      ids: split -> image ID -> int32 [n, T].
      words: the vocabulary in the order of the ids.
    """

    manifest: Manifest
    ids: Mapping[str, Mapping[str, np.ndarray]]
    words: Sequence[str]

    @classmethod
    def load(cls, files: Mapping[str, Sequence[str]], transform_graph: str, manifest: Manifest) -> "TrainingData":
        """Reads the token IDs and the vocabulary.

        Args:
          files: split -> the record files of `transformed_examples`.
          transform_graph: the URI of the transform graph.
          manifest: the manifest of the features.
        """
        transform = tft.TFTransformOutput(transform_graph)
        spec = transform.transformed_feature_spec()
        words = storage.read_text(transform.vocabulary_file_by_name(records.VOCABULARY)).splitlines()
        return cls(manifest, {split: load_ids(paths, spec) for split, paths in files.items()}, words)

    def model_inputs(self, compute_dtype: str) -> ModelInputs:
        """Returns the inputs of a model for this data.

        Args:
          compute_dtype: the setting of that name.
        """
        return ModelInputs(
            vocabulary_size=len(self.words),
            grid=self.manifest.grid,
            channels=self.manifest.channels,
            max_length=max(ids.shape[1] for ids in self.ids[records.TRAIN].values()),
            compute_dtype=devices.compute_dtype(compute_dtype),
        )

    def fingerprint(self) -> str:
        """Returns a hash that is equal for equal words, images and captions in the same order."""
        header = json.dumps([list(self.words), dataclasses.asdict(self.manifest)], sort_keys=True)
        digest = hashlib.sha256(header.encode())
        for split in sorted(self.ids):
            for image_id, captions in sorted(self.ids[split].items()):
                digest.update(f"{split} {image_id} {captions.shape}".encode() + captions.tobytes())
        return digest.hexdigest()
