import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from components.trainer import devices
from tests.material import ROOT

# a process of its own, since logical devices are made before TensorFlow has started
TWO_CPUS = """
import json, pathlib, sys
import tests  # before TensorFlow: it imports IPython, which puts another package of this name on the path
import tensorflow as tf
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from components.trainer import devices
from tests.components.trainer.store import write_store
directory = pathlib.Path(sys.argv[1])
"""
CURVES = f"""
{TWO_CPUS}
from components.trainer.optimization import OptimizerSettings
from tests.components.trainer.test_loop import PICTURES, curves, make
store = write_store(directory / "store", {{"shard-1.tfrecord": PICTURES}})
optimizer, told = OptimizerSettings(**json.loads(sys.argv[2])), []
for asked in (0, 1):
    strategy = devices.strategy(asked)
    with strategy.scope():
        loop = make(store, directory / str(asked), epochs=6, optimizer=optimizer)
        told.append([strategy.num_replicas_in_sync, curves(loop.run())])
print(json.dumps(told))
"""
MODELS = f"""
{TWO_CPUS}
from components.trainer import training
from components.trainer.checkpoints import Checkpoints
from tests.components.trainer.test_training import IDS, PICTURES, SETTINGS, WORDS
manifest, _ = write_store(directory / "store", {{"shard-1.tfrecord": PICTURES}})
(directory / "vocabulary").write_text("\\n".join(WORDS))
data = training.Data(manifest, {{"train": IDS, "eval": IDS}}, str(directory / "vocabulary"))
for name in ("transformer", "attention"):
    settings, logs = SETTINGS | {{"model": name, "epochs": 2, "select_by": "loss"}}, str(directory / name)
    with devices.strategy().scope():
        training.fit(training.build(settings, data), data, settings, Checkpoints(logs), logs)
    print(name)
"""


def run(script: str, *arguments: str) -> str:
    """The last line that a script prints."""
    command = [sys.executable, "-c", script, *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()[-1]


@pytest.mark.parametrize("optimizer", [{"warmup": 10}, {"warmup": 10, "clip_norm": 0.1, "weight_decay": 0.1}])
def test_two_devices_have_the_loss_curve_of_one(tmp_path, optimizer):
    (replicas, two), (alone, one) = json.loads(run(CURVES, str(tmp_path), json.dumps(optimizer)))
    assert (replicas, alone) == (2, 1)
    np.testing.assert_allclose(two, one, rtol=1e-4)


def test_two_devices_train_one_model_after_another(tmp_path):
    assert run(MODELS, str(tmp_path)) == "attention"


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
