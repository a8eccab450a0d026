"""What the training runs on, and in which precision."""

import pathlib

import tensorflow as tf

CPU_FLAGS = ("amx_bf16", "avx512_bf16")  # of processors that multiply bfloat16 faster than float32


def strategy(devices: int = 0) -> tf.distribute.Strategy:
    """One device, or several that share each batch.

    Args:
      devices: most GPUs to use; 0: all there are. Without GPUs it is the CPU, all its cores.

    Raises:
      ValueError: there are GPUs, but not so many.
    """
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if gpus and devices > len(gpus):
        raise ValueError(f"trainer.devices: {devices} GPUs are asked for, and there are {len(gpus)}")
    chosen = gpus[: devices or len(gpus)]
    if len(chosen) > 1:
        return tf.distribute.MirroredStrategy(chosen)
    return tf.distribute.OneDeviceStrategy(chosen[0]) if chosen else tf.distribute.get_strategy()


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
    flags = pathlib.Path("/proc/cpuinfo")
    known = flags.read_text().split() if flags.exists() else []
    return "bfloat16" if any(flag in known for flag in CPU_FLAGS) else "float32"
