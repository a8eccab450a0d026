"""A first config for ten images, and the run that it describes at the debug size."""

import shlex
import sys

from components.shared import scenes
from tests.e2e.sandbox import DEBUG
from tests.factories import write_data_set


def test_the_first_config_runs(sandbox, tmp_path):
    data = tmp_path / "data"
    write_data_set(data, "".join(f"{n}.jpg#{row}\tA dog number {n} .\n" for n in range(10) for row in range(2)))
    for number in range(10):
        (data / f"{number}.jpg").write_bytes(scenes.jpeg(0, number))
    program, path, root = [sys.executable, "local_runner.py"], str(tmp_path / "ten.yaml"), str(tmp_path / "root")
    init = sandbox.execute([*program, "init", str(data), "--output", path, "--no-probe"])
    assert init.returncode == 0, init.stderr
    command = [*program, "run", "--config", path, *DEBUG, "--root", root, "--set", "trainer.optimizer.warmup_steps=1"]
    run = sandbox.execute(command)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "images          10 (train " in run.stdout and "blessed" in run.stdout
    assert "compare the runs:" not in run.stdout  # there is only one
    [line] = [line for line in run.stdout.splitlines() if "caption an image:" in line]
    _, *arguments = shlex.split(line.partition("caption an image:")[2])
    pasted = sandbox.execute([*program, *arguments])
    assert pasted.returncode == 0, pasted.stderr
