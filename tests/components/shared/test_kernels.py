import os
import subprocess
import sys

import pytest

PRINT_SETTING = "import os, {}; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"


@pytest.mark.parametrize("package", ["components", "pipeline"])
@pytest.mark.parametrize(("variables", "expected"), [({}, "1"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "0")])
def test_fast_kernels_are_on_unless_the_environment_disables_them(package, variables, expected):
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"} | variables
    process = subprocess.run(
        [sys.executable, "-c", PRINT_SETTING.format(package)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert process.stdout.strip() == expected
