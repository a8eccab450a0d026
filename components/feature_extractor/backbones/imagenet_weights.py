"""Whether ImageNet weights of `keras.applications` can be had: from Keras's cache, or by a download."""

import os
import sys
import threading
import urllib.request

import keras

SECONDS = 2.0  # after which a host counts as unreachable
# the files of the weights without top, by backbone at its own image size
FILES = {
    "InceptionV3": "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "MobileNet": "mobilenet_1_0_224_tf_no_top.h5",
}


def cache_path(file_name: str) -> str:
    """Where Keras looks for a weights file before it downloads it."""
    home = os.environ.get("KERAS_HOME", os.path.expanduser("~/.keras"))
    return os.path.join(home, "models", file_name)


def are_available(backbone: str) -> bool:
    """Whether the weights of a backbone of `FILES` are on this machine or can be downloaded now, as far as it seems."""
    return os.path.exists(cache_path(FILES[backbone])) or answers(_url(backbone))


def _url(backbone: str) -> str:
    """The URL of a backbone's weights; Keras states it in the module of the backbone."""
    module = sys.modules[getattr(keras.applications, backbone).__module__]
    whole = getattr(module, "WEIGHTS_PATH_NO_TOP", None)
    return whole or module.BASE_WEIGHT_PATH + FILES[backbone]


def answers(url: str, seconds: float = SECONDS) -> bool:
    """Whether a host answers a request for a file within some seconds, the look-up of its name included."""
    reached = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds):
                reached.set()
        except (OSError, ValueError):  # unreachable, refused, not there, or no HTTP
            pass
        finally:
            ended.set()

    ended = threading.Event()
    threading.Thread(target=ask, daemon=True).start()  # a look-up of a name knows no limit
    ended.wait(seconds)
    return reached.is_set()
