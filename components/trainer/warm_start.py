"""A training that starts from an exported model instead of from random weights, for scheduled retraining."""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components import records
from components.trainer.export import DESCRIPTION

# the base may have been trained with others of these: no weight depends on them
FREE = ("vocabulary_size", "max_length", "dropout", "precision")
# what is around the path of a weight in a SavedModel's checkpoint
WEIGHTS, VALUE = "model/", "/.ATTRIBUTES/VARIABLE_VALUE"


def start_from(model: keras.Model, directory: str, words: Sequence[str]) -> tuple[bool, str]:
    """Takes an exported model's weights, where it is of the same make; words are told apart by their spelling.

    The embedding and the scores of a word that the exported model does not know stay random.

    Args:
      model: new, with its weights made.
      directory: the exported model's.
      words: the new vocabulary, in the order of the ids.

    Returns:
      whether any was taken, and a sentence for the log: how much, or why none.
    """
    try:
        with tf.io.gfile.GFile(os.path.join(directory, "assets.extra", DESCRIPTION)) as file:
            known = json.load(file)
        vocabulary = _vocabulary(directory)
        saved = tf.train.load_checkpoint(os.path.join(directory, "variables", "variables"))
    except tf.errors.NotFoundError as error:
        return False, f"starts from random weights, for files of the model to start from are gone: {error.message}"
    if other := _difference(model, known.get("model"), known.get("settings", {})):
        return False, f"starts from random weights, for the model to start from has {other}: {directory}"
    places = {word: place for place, word in enumerate(vocabulary)}
    shared = [(new, places[word]) for new, word in enumerate(words) if word in places]
    larger = type(model)(dataclasses.replace(model.settings, vocabulary_size=len(words) + 1))
    make_weights(larger)  # they show where a weight depends on the vocabulary
    for key in saved.get_variable_to_shape_map():
        if key.startswith(WEIGHTS) and key.endswith(VALUE):
            path = key.removeprefix(WEIGHTS).removesuffix(VALUE).split("/")
            variable, value = _at(model, path), saved.get_tensor(key)
            axes = [axis for axis, size in enumerate(variable.shape) if size != _at(larger, path).shape[axis]]
            variable.assign(_by_words(np.array(variable), value, axes[0], shared) if axes else value)
    return True, f"starts from {directory}, which knows {len(shared)} of {len(words)} words"


def _difference(model: keras.Model, name: str | None, settings: dict[str, Any]) -> str | None:
    """The first setting that the base was made with otherwise."""
    if name != type(model).__name__:
        return f"model {name}"
    for field, value in json.loads(json.dumps(dataclasses.asdict(model.settings))).items():
        if field not in FREE and settings.get(field) != value:
            return f"{field} {settings.get(field)}, not {value}"
    return None


def _vocabulary(directory: str) -> list[str]:
    assets = os.path.join(directory, "assets")
    [name] = tf.io.gfile.listdir(assets)
    with tf.io.gfile.GFile(os.path.join(assets, name)) as file:
        return file.read().splitlines()


def _at(model: Any, path: Sequence[str]) -> Any:
    """What is at a path of attributes and places in lists."""
    for part in path:
        model = model[int(part)] if part.isdecimal() else getattr(model, part)
    return model


def make_weights(model: Any) -> None:
    """Shows a new model one input, which makes its weights."""
    settings = model.settings
    features = np.zeros((1, settings.grid[0] * settings.grid[1], settings.channels), np.float32)
    model({"features": features, "tokens": np.full((1, 1, 2), records.START_ID, np.int32)})


def _by_words(new: np.ndarray, old: np.ndarray, axis: int, shared: Sequence[tuple[int, int]]) -> np.ndarray:
    """`new` with the slices of the words that both know from `old`."""
    rows, old_rows = (np.array(each, np.int64) for each in zip(*shared, strict=True))
    np.moveaxis(new, axis, 0)[rows] = np.moveaxis(old, axis, 0)[old_rows]
    return new
