"""Captions images with an exported model."""

from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from components.pusher.push import saved_model_in
from components.shared import node_cache, storage
from components.shared.images import containers
from components.shared.images.inspection import inspect, to_tf_decodable
from components.shared.images.limits import ImageError
from pipeline.errors import UserError


class ModelNotFound(UserError):
    """The directory holds no model that captions images."""


def find_model(directory: str) -> str:
    """Finds a SavedModel: the directory itself, or the newest version below it.

    Raises:
      ModelNotFound: there is none.
    """
    model_dir = saved_model_in(directory)
    if model_dir is None:
        raise ModelNotFound(f"--model {directory}: neither a SavedModel nor a directory with numbered versions of one")
    return model_dir


def load(directory: str) -> Callable[..., dict[str, tf.Tensor]]:
    """Loads a model.

    Args:
      directory: the model's directory, see `find_model`.

    Returns:
      its signature `serving_default`.

    Raises:
      ModelNotFound: there is none, or it has no signature that captions images.
    """
    model_dir = find_model(directory)
    try:
        signature = node_cache.read_copy(node_cache.tree, model_dir, tf.saved_model.load).signatures.get(
            "serving_default"
        )
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"--model {directory}: {str(error).splitlines()[0]}") from None
    if (
        signature is None
        or "image_bytes" not in signature.structured_input_signature[1]
        or "caption" not in signature.structured_outputs
    ):
        raise ModelNotFound(f"--model {directory}: no signature serving_default from image_bytes to caption")
    return signature


def caption(model: Callable[..., dict[str, tf.Tensor]], images: Sequence[str]) -> Iterator[tuple[str, str | None, str]]:
    """Captions images one by one.

    Args:
      model: the signature, of `load`.
      images: paths of files.

    Yields:
      (path, caption, "") or (path, None, the reason why there is no caption).
    """
    for path in images:
        try:
            data = containers.read_member(path) or storage.read_bytes(path)
            inspect(data)
            data = to_tf_decodable(data)
        except OSError as error:
            yield path, None, error.strerror or str(error)
        except ImageError as error:
            yield path, None, f"{error.fault.value}: {error}"
        else:
            outputs = model(image_bytes=tf.constant([data]))
            # models of version 0.1 fail at a file that they do not decode
            if "ok" in outputs and not outputs["ok"].numpy()[0]:
                yield path, None, "the model does not decode it"
            else:
                yield path, outputs["caption"].numpy()[0].decode(), ""
