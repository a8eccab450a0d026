"""The commands of README.md and docs/ are executed as they are written there, but at the debug config's size."""

import shlex
import shutil
import sys

import pytest
import yaml
from PIL import Image

from pipeline import sample_data
from tests.documented_commands import executable_commands
from tests.e2e.sandbox import DEBUG, Sandbox

CONFIGS = ["my.yaml", "pipeline/configs/sample.yaml"]  # their own settings take minutes to hours
CLUSTER_CONFIG = "cluster.yaml"


@pytest.fixture(scope="module")
def documented(first_sandbox) -> tuple[Sandbox, dict[str, str]]:
    """A sandbox with two pushed models and the files that the commands name, and its IDs for those of the docs.

    It is not reset between the commands: each starts from what those before it left. Its root is that of every config.
    """
    first_sandbox.reset()
    second = first_sandbox.run(settings=["trainer.seed=1"])
    code, data = first_sandbox.code, first_sandbox.data
    debug = yaml.safe_load((code / DEBUG[-1]).read_text())
    debug["trainer"]["seed"] = 1  # the model that is served, which the runs find unchanged
    for name in CONFIGS:
        (code / name).write_text(yaml.safe_dump(debug | {"root": str(first_sandbox.root)}))
    (code / CLUSTER_CONFIG).write_text(yaml.safe_dump(debug))
    (code / "runs").mkdir()
    (code / "runs" / "sample").symlink_to(first_sandbox.root)
    shutil.copytree(data, code / "DIRECTORY")
    with Image.open(data / sample_data.IMAGES / sample_data.name(7, 0)) as image:
        image.save(code / "one.jpg")
        image.save(code / "two.png")
    return first_sandbox, {"20261126-10": first_sandbox.first["run_id"], "20261127-09": second["run_id"]}


@pytest.mark.parametrize("command", executable_commands())
def test_a_documented_command_succeeds(documented, command):
    sandbox, own = documented
    _, *arguments = [own.get(word, word) for word in shlex.split(command)]
    if arguments[0] == "kubeflow":  # whose steps have another root
        arguments = [CLUSTER_CONFIG if word == CONFIGS[0] else word for word in arguments]
    run = sandbox.execute([sys.executable, "local_runner.py", *arguments])
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout
    if "--output" in arguments:
        assert (sandbox.code / arguments[arguments.index("--output") + 1]).stat().st_size
