"""Warm start: initial weights from an exported model instead of random ones, for scheduled retraining."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.shared import records, storage
from components.shared.models import description, weights
from components.shared.models.description import Description

# fields in which the base model may differ: no weight depends on them, or only in its rows per word
IGNORED_FIELDS = ("vocabulary_size", "max_length", "dropout", "compute_dtype")
# a SavedModel's variable is named by its path of attributes, between these
PREFIX, SUFFIX = "model/", "/.ATTRIBUTES/VARIABLE_VALUE"


class WarmStartError(ValueError):
    """The base model's weights cannot be used.

    Attributes:
      reason: why, in a few words.
      detail: the file or the difference.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def load_base_weights(model: Any, directory: str, words: Sequence[str], feature_fingerprint: str) -> int:
    """Assigns an exported model's weights to a new model of the same architecture, matching words by spelling.

    The embeddings and output weights of words that the base model does not know stay random. If the base model cannot
    be used, no weight changes.

    Args:
      model: the new model, built.
      directory: the directory of the exported model.
      words: the vocabulary of the new model, in the order of the ids.
      feature_fingerprint: the identity of the features that the new model is trained on.

    Returns:
      the number of words that both models know.

    Raises:
      WarmStartError: the base model is missing or damaged, has another architecture, or was trained on other features.
    """
    base, base_words, base_weights = _read(directory)
    if base.feature_fingerprint != feature_fingerprint:
        raise WarmStartError("Base model trained on other features", directory)
    if difference := _difference(model, base):
        raise WarmStartError(f"Base model has {difference}", directory)
    base_ids = {word: base_id for base_id, word in enumerate(base_words)}
    shared = [(new_id, base_ids[word]) for new_id, word in enumerate(words) if word in base_ids]
    # one word more than the model: where the shapes differ, a weight has a row per word
    probe = weights.build(model.settings, dataclasses.replace(model.inputs, vocabulary_size=len(words) + 1))
    try:
        values = [
            (variable := _at(model, path), _fit(variable, value, _word_axis(variable, _at(probe, path)), shared))
            for path, value in base_weights.items()
        ]
    except (AttributeError, IndexError, ValueError) as error:
        raise WarmStartError("Base model of another version", f"{directory}: {error}") from error
    assigned = {id(variable) for variable, _ in values}
    if any(id(variable) not in assigned for variable in model.weights):
        raise WarmStartError("Base model of another version", f"{directory}: weights are missing")
    for variable, value in values:
        variable.assign(value)
    return len(shared)


def _read(directory: str) -> tuple[Description, list[str], Mapping[str, np.ndarray]]:
    """Reads an exported model: its description, its vocabulary, and path of attributes -> weight."""
    try:
        base = description.read_exported(directory)
        assets = os.path.join(directory, tf.saved_model.ASSETS_DIRECTORY)
        vocabulary = next(iter(storage.list_names(assets)), records.VOCABULARY)  # the only asset
        words = storage.read_text(os.path.join(assets, vocabulary)).splitlines()
        reader = tf.train.load_checkpoint(os.path.join(directory, "variables", "variables"))
        base_weights = {
            name.removeprefix(PREFIX).removesuffix(SUFFIX): reader.get_tensor(name)
            for name in reader.get_variable_to_shape_map()
            if name.startswith(PREFIX) and name.endswith(SUFFIX)
        }
        return base, words, base_weights
    except (FileNotFoundError, tf.errors.NotFoundError) as error:
        raise WarmStartError("Base model not found", str(error)) from error
    except tf.errors.OpError as error:
        raise WarmStartError("Base model damaged", f"{directory}: {error.message}") from error
    except description.MissingModelFileError as error:
        raise WarmStartError("Base model not found", str(error)) from error
    except description.ModelFileError as error:
        raise WarmStartError("Base model of another version", str(error)) from error


def _difference(model: Any, base: Description) -> str | None:
    """Returns the first field in which the architectures differ, as "d_model 8, not 16"; None if they are equal."""
    for part, base_part in ((model.settings, base.settings), (model.inputs, base.inputs)):
        values, base_values = dataclasses.asdict(part), dataclasses.asdict(base_part)
        for name, value in values.items():
            if name not in IGNORED_FIELDS and base_values.get(name) != value:
                return f"{name} {base_values.get(name)}, not {value}"
    return None


def _at(model: Any, path: str) -> Any:
    """Returns what is at a path of attributes and list indices."""
    for part in path.split("/"):
        model = model[int(part)] if part.isdecimal() else getattr(model, part)
    return model


def _word_axis(variable: Any, probe_variable: Any) -> int | None:
    """Returns the axis of a weight that has one row per word; None if there is none."""
    return next((axis for axis, size in enumerate(variable.shape) if size != probe_variable.shape[axis]), None)


def _fit(variable: Any, value: np.ndarray, axis: int | None, shared: Sequence[tuple[int, int]]) -> np.ndarray:
    """Returns the value to assign to a variable, in the variable's shape."""
    new = np.array(variable)
    if axis is None:
        if new.shape != value.shape:
            raise ValueError(f"a weight has the shape {value.shape}, not {new.shape}")
        return value
    return _copy_shared_rows(new, value, axis, shared)


def _copy_shared_rows(new: np.ndarray, base: np.ndarray, axis: int, shared: Sequence[tuple[int, int]]) -> np.ndarray:
    """Returns `new` with the rows of shared words from `base`; rows lie along an axis, (new ID, base ID) are shared."""
    rows, base_rows = (np.array(ids, np.int64) for ids in zip(*shared, strict=True))
    np.moveaxis(new, axis, 0)[rows] = np.moveaxis(base, axis, 0)[base_rows]
    return new
