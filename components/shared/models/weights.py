"""The `weights` artifact: a trained captioning model, from which the Exporter builds the model again.

URI/model.weights.h5    the weights, in Keras's own format: named by attributes and classes, not by layers' names
URI/model.json          a `Description`; written last, so an artifact without it is incomplete
"""

import hashlib
import os
from typing import Any

import numpy as np

from components.shared import storage
from components.shared.models import description, registry
from components.shared.models.description import Description, MissingModelFileError, ModelFileError
from components.shared.models.protocol import ModelInputs
from components.shared.records import START_ID

WEIGHTS_FILE = "model.weights.h5"
DESCRIPTION_FILE = "model.json"
FILE_DIGEST, VALUES_DIGEST = "file_sha256", "values_sha256"  # keys beside the description


def build(settings: Any, inputs: ModelInputs) -> Any:
    """Constructs a model with random initial weights.

    Args:
      settings: an instance of a settings class of the registry.
      inputs: the model's inputs.

    Returns:
      a `keras.Model` that satisfies `CaptionModel`, with its variables created.
    """
    model = registry.model_class(settings.name)(settings, inputs)
    features = np.zeros((1, inputs.num_positions, inputs.channels), np.float32)
    model({"features": features, "tokens": np.full((1, 1, 2), START_ID, np.int32)})  # creates the variables
    return model


def save(model: Any, directory: str, label: str, feature_fingerprint: str) -> None:
    """Writes a model's weights, and what it takes to build the model again.

    Args:
      model: the model, of `build`.
      directory: the directory to write to.
      label: what evaluations and reports call the model.
      feature_fingerprint: the identity of the features that the model was trained on.
    """
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, WEIGHTS_FILE)
    model.save_weights(path)
    digests = {FILE_DIGEST: storage.sha256(path), VALUES_DIGEST: _values_digest(model)}
    text = Description(label, model.settings, model.inputs, feature_fingerprint).to_json(**digests)
    storage.write_text(os.path.join(directory, DESCRIPTION_FILE), text)


def describe(directory: str) -> Description:
    """Reads the description of saved weights.

    Raises:
      ModelFileError: it is missing or damaged, or names a model or a setting that does not exist.
    """
    return description.read(os.path.join(directory, DESCRIPTION_FILE))[0]


def load(directory: str) -> Any:
    """Builds the model of saved weights.

    Returns:
      the model with its trained weights, equal to the saved ones to the bit.

    Raises:
      ModelFileError: a file is missing or damaged, or the weights do not fit the model.
    """
    described, more = description.read(os.path.join(directory, DESCRIPTION_FILE))
    path = os.path.join(directory, WEIGHTS_FILE)
    if not storage.exists(path):
        raise MissingModelFileError(f"{path} is missing: the model is incomplete")
    if storage.sha256(path) != more.get(FILE_DIGEST):
        raise ModelFileError(f"{path} is damaged: its content differs from what was saved")
    model = build(described.settings, described.inputs)
    try:
        model.load_weights(path)
    except Exception as error:  # Keras and h5py raise many kinds
        fault = description.one_line(error)
        raise ModelFileError(f"{path} does not fit the model {described.settings.name}: {fault}") from error
    # Keras leaves weights that it does not find in the file as they are, such as those of layers in nested lists
    if _values_digest(model) != more.get(VALUES_DIGEST):
        raise ModelFileError(f"{path} does not fit the model {described.settings.name}: it lacks some of its weights")
    return model


def _values_digest(model: Any) -> str:
    digest = hashlib.sha256()
    for values in model.get_weights():
        digest.update(values.tobytes())
    return digest.hexdigest()
