"""What the training runs on, and in which precision."""

import functools
import pathlib

import tensorflow as tf

CPU_INFO = pathlib.Path("/proc/cpuinfo")  # of Linux
CPU_FLAGS = ("amx_bf16", "avx512_bf16")  # of processors that multiply bfloat16 faster than float32


def strategy(devices: int = 0) -> tf.distribute.Strategy:
    """One device, or several that share each batch.

    Args:
      devices: most GPUs to use; 0: all there are. Without GPUs it is the CPU, all its cores; logical CPUs count as
        GPUs do.

    Raises:
      ValueError: there are not so many.
    """
    found = [device.name for kind in ("GPU", "CPU") for device in tf.config.list_logical_devices(kind)]
    kind = ":GPU:" if any(":GPU:" in name for name in found) else ":CPU:"
    found = [name for name in found if kind in name]
    if devices > len(found):
        raise ValueError(f"trainer.devices: {devices} are asked for, and there are {len(found)}")
    return _strategy_of(tuple(found[: devices or len(found)]))


# once a process: every MirroredStrategy numbers its sums alike, and TensorFlow would take them for an earlier one's
@functools.cache
def _strategy_of(chosen: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(chosen) if len(chosen) > 1 else tf.distribute.OneDeviceStrategy(chosen[0])


def precision(wanted: str) -> str:
    """The precision of products of matrices.

    Args:
      wanted: "float32", "bfloat16", or "auto": bfloat16 where it is the faster one.

    Returns:
      "float32" or "bfloat16".
    """
    if wanted != "auto":
        return wanted
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capabilities = [tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in gpus]
        return "bfloat16" if all(each and each >= (8, 0) for each in capabilities) else "float32"
    known = CPU_INFO.read_text().split() if CPU_INFO.exists() else []
    return "bfloat16" if any(flag in known for flag in CPU_FLAGS) else "float32"
