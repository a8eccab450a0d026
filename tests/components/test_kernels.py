import os
import subprocess
import sys

import pytest

TOLD = "import os, {}; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"


@pytest.mark.parametrize("package", ["components", "pipeline"])
@pytest.mark.parametrize(("given", "found"), [({}, "1"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "0")])
def test_the_fast_kernels_are_on_unless_the_environment_says_otherwise(package, given, found):
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"} | given
    told = subprocess.run(
        [sys.executable, "-c", TOLD.format(package)], env=environment, check=True, capture_output=True, text=True
    )
    assert told.stdout.strip() == found
