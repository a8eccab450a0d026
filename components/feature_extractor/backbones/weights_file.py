"""Loading a weights file, with an error that names the first layer that does not fit."""

import itertools
import re
from collections.abc import Sequence

import h5py
import keras


def load(model: keras.Model, path: str) -> None:
    """Loads the weights of a file that Keras 1, 2 or 3 has saved.

    Raises:
      ValueError: they do not fit the model, or the file is damaged; the message names the first misfit.
    """
    try:
        model.load_weights(path)
    except Exception as error:  # a damaged file raises whatever h5py and zipfile raise
        fault = _first_misfit(path, model) or _without_values(error) or type(error).__name__
        raise ValueError(fault) from error


def _first_misfit(path: str, model: keras.Model) -> str:
    """Names the first layer that does not fit a file of Keras 1 or 2, of which Keras only counts the layers.

    Those files, which `keras.applications` still downloads, hold the layers' weights in the model's order.

    Returns:
      a sentence; "" for another kind of file, and for a damaged one.
    """
    try:
        with h5py.File(path) as file:
            group = file.get("model_weights", file)
            saved = [(name, _saved_shapes(group[name])) for name in _names(group, "layer_names") if name in group]
    except (OSError, RuntimeError, KeyError):
        return ""
    if not saved and not path.endswith(".weights.h5"):
        return "it has no layers as Keras 1 and 2 save them; a file of Keras 3 must be named *.weights.h5"
    if not saved:
        return ""
    expected = [(layer.name, [tuple(weight.shape) for weight in layer.weights]) for layer in model.layers]
    with_weights = ([layer for layer in layers if layer[1]] for layers in (expected, saved))
    for ours, theirs in itertools.zip_longest(*with_weights):
        if ours is None or theirs is None or ours[1] != theirs[1]:
            return f"where the backbone has {_describe(ours)}, the file has {_describe(theirs)}"
    return ""


def _saved_shapes(layer: h5py.Group) -> list[tuple[int, ...]]:
    return [layer[name].shape for name in _names(layer, "weight_names") if name in layer]


def _names(group: h5py.Group, attribute: str) -> list[str]:
    return [name if isinstance(name, str) else name.decode() for name in group.attrs.get(attribute, [])]


def _describe(layer: tuple[str, Sequence[tuple[int, ...]]] | None) -> str:
    if layer is None:
        return "no more layers"
    name, shapes = layer
    return f"{name} {', '.join('x'.join(map(str, shape)) for shape in shapes)}"


def _without_values(error: Exception) -> str:
    """Keras's message about a layer in one line, without the arrays and the list of all layers that follow it."""
    message = re.split(r"Target variable:|List of objects", str(error))[0]
    return " ".join(message.split())
