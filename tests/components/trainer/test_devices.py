import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from components.trainer import devices
from tests.factories import ROOT

# run in a process of its own, since logical devices are configured before TensorFlow starts
TWO_CPUS = """
import json, pathlib, sys
import tests  # before TensorFlow: it imports IPython, which puts another package of this name on the path
import numpy as np
import tensorflow as tf
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from components.trainer import devices
from components.trainer.settings import OptimizerSettings
from tests.components.trainer.store import write_store
directory = pathlib.Path(sys.argv[1])
"""
CURVES = f"""
{TWO_CPUS}
from tests.components.trainer.test_loop import IMAGES, curves, make_loop
store = write_store(directory / "store", [IMAGES])
optimizer, results, moments = OptimizerSettings(**json.loads(sys.argv[2])), [], []
for max_gpus in (0, 1):
    strategy = devices.strategy(max_gpus)
    with strategy.scope():
        loop = make_loop(store, directory / str(max_gpus), epochs=4, optimizer=optimizer)
        results.append([strategy.num_replicas_in_sync, curves(loop.run())])
        moments.append(np.concatenate([np.ravel(moment) for moment in loop.optimizer._momentums]))
difference, norm = (float(np.linalg.norm(vector)) for vector in (moments[0] - moments[1], moments[1]))
print(json.dumps([*results, difference / norm]))
"""
MODELS = f"""
{TWO_CPUS}
from components.trainer import training
from components.trainer.checkpoints import CheckpointManager
from components.trainer.data import TrainingData
from components.trainer.settings import SelfCriticalSettings
from tests.components.trainer.factories import GRU, TRANSFORMER, trainer_settings
from tests.components.trainer.test_training import IDS, IMAGES, WORDS
manifest, _ = write_store(directory / "store", [IMAGES])
data = TrainingData(manifest, {{"train": IDS, "eval": IDS}}, WORDS)
for model in (TRANSFORMER, GRU):
    path = str(directory / model.name)
    settings = trainer_settings(model=model, epochs=2, self_critical=SelfCriticalSettings(epochs=1, images_per_step=2))
    training.train(data, settings, CheckpointManager(path), path, None)
    print(model.name)
"""


def run(script: str, *arguments: str) -> str:
    """Runs a script and returns the last line that it prints."""
    command = [sys.executable, "-c", script, *arguments]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()[-1]


# Steps so small that rounding, which differs from processor to processor, cannot grow: with Adam's epsilon of 1e-9 a
# gradient that is 0 but for rounding, as that of the attention keys' biases is, moves its weights by whole steps. For
# the same reason gradients are compared, by their moments, and not weights. The decay is so large that it shows.
SMALL_STEPS = {"warmup_steps": 2, "peak_learning_rate": 1e-3}


@pytest.mark.parametrize("optimizer", [{}, {"grad_clip_norm": 0.1, "weight_decay": 10.0}])
def test_two_devices_train_as_one(tmp_path, optimizer):
    script = run(CURVES, str(tmp_path), json.dumps(SMALL_STEPS | optimizer))
    (num_two, two), (num_one, one), difference = json.loads(script)
    assert (num_two, num_one) == (2, 1)
    np.testing.assert_allclose(two, one, rtol=1e-4)
    assert difference < 1e-4


def test_two_devices_train_one_model_after_another(tmp_path):
    assert run(MODELS, str(tmp_path)) == "gru"


def test_more_devices_than_available_are_all_of_them(caplog):
    caplog.set_level("INFO", "captions.progress")
    assert devices.strategy(99) is devices.strategy(0)
    [message] = caplog.messages
    assert re.fullmatch(r"trainer.max_gpus is 99, \d available: using all of them", message)


class Gpu:
    """A GPU that this machine does not have."""


@pytest.mark.parametrize(
    ("flags", "capabilities", "expected"),
    [
        ("fpu avx512f", [], "float32"),
        ("fpu avx512f avx512_bf16", [], "bfloat16"),
        ("fpu amx_bf16", [(8, 0)], "bfloat16"),
        ("fpu amx_bf16", [(9, 0), (7, 5)], "float32"),
    ],
)
def test_auto_is_the_faster_dtype(monkeypatch, tmp_path, flags, capabilities, expected):
    # mocked: the processor and the GPUs
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    monkeypatch.setattr(devices, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [Gpu() for _ in capabilities])
    details = iter(capabilities)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": next(details)})
    assert devices.compute_dtype("auto") == expected
    assert devices.compute_dtype("float32") == "float32" and devices.compute_dtype("bfloat16") == "bfloat16"
