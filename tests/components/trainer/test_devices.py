import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from components.trainer import devices
from tests.material import ROOT

# a process of its own, since logical devices are made before TensorFlow has started
CURVE = """
import json, pathlib, sys
import tensorflow as tf
directory, logical, asked = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * logical)
from components.trainer import devices
from tests.components.trainer.test_loop import PICTURES, curves, make
from tests.components.trainer.store import write_store
store = write_store(directory / "store", {"shard-1.tfrecord": PICTURES})
strategy = devices.strategy(asked)
with strategy.scope():
    loop = make(store, directory / "checkpoints", epochs=6)
    print(json.dumps([strategy.num_replicas_in_sync, curves(loop.run())]))
"""


def curve(directory: pathlib.Path, logical: int, asked: int) -> tuple[int, list]:
    command = [sys.executable, "-c", CURVE, str(directory), str(logical), str(asked)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_two_devices_have_the_loss_curve_of_one(tmp_path):
    (replicas, two), (alone, one) = curve(tmp_path / "two", 2, 0), curve(tmp_path / "one", 2, 1)
    assert (replicas, alone) == (2, 1)
    np.testing.assert_allclose(two, one, rtol=1e-4)


def test_more_devices_than_there_are_is_an_error():
    with pytest.raises(ValueError, match=r"trainer.devices: 99 are asked for, and there are \d"):
        devices.strategy(99)


class Gpu:
    """A GPU that is not here."""


@pytest.mark.parametrize(
    ("flags", "capabilities", "expected"),
    [
        ("fpu avx512f", [], "float32"),
        ("fpu avx512f avx512_bf16", [], "bfloat16"),
        ("fpu amx_bf16", [(8, 0)], "bfloat16"),
        ("fpu amx_bf16", [(9, 0), (7, 5)], "float32"),
    ],
)
def test_auto_is_the_faster_precision(monkeypatch, tmp_path, flags, capabilities, expected):
    # mocked: which processors and GPUs there are
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    monkeypatch.setattr(devices, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [Gpu() for _ in capabilities])
    details = iter(capabilities)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": next(details)})
    assert devices.precision("auto") == expected
    assert devices.precision("float32") == "float32" and devices.precision("bfloat16") == "bfloat16"
