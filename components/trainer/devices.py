"""The devices that a training runs on, and the dtype of its matrix multiplications."""

import functools
import pathlib

import tensorflow as tf

from components.shared.models.protocol import ComputeDtype
from components.shared.progress import LOGGER

CPU_INFO = pathlib.Path("/proc/cpuinfo")  # Linux
CPU_FLAGS = ("amx_bf16", "avx512_bf16")  # of processors that multiply bfloat16 faster than float32


def strategy(max_gpus: int) -> tf.distribute.Strategy:
    """Returns a strategy for one device, or for several that share each batch.

    Args:
      max_gpus: the maximum number of GPUs; 0 takes all there are. Without GPUs the CPU is used with all its cores;
        logical CPUs count like GPUs.
    """
    names = [device.name for kind in ("GPU", "CPU") for device in tf.config.list_logical_devices(kind)]
    kind = ":GPU:" if any(":GPU:" in name for name in names) else ":CPU:"
    names = [name for name in names if kind in name]
    if max_gpus > len(names):
        LOGGER.info("trainer.max_gpus is %d, %d available: using all of them", max_gpus, len(names))
    return _strategy_of(tuple(names[: max_gpus or len(names)]))


# once per process: all MirroredStrategies number their all-reduces alike, and TensorFlow would mix them up
@functools.cache
def _strategy_of(names: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else tf.distribute.OneDeviceStrategy(names[0])


def compute_dtype(setting: str) -> ComputeDtype:
    """Returns the dtype of matrix multiplications.

    Args:
      setting: "float32", "bfloat16", or "auto", which is bfloat16 where that is faster.

    Returns:
      "float32" or "bfloat16".
    """
    if setting != "auto":
        return "bfloat16" if setting == "bfloat16" else "float32"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capabilities = [tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in gpus]
        is_faster = all(capability and capability >= (8, 0) for capability in capabilities)
    else:
        flags = CPU_INFO.read_text().split() if CPU_INFO.exists() else []
        is_faster = any(flag in flags for flag in CPU_FLAGS)
    return "bfloat16" if is_faster else "float32"
