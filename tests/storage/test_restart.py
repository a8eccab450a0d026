"""A run during which the object store is stopped and started again: `make test-s3` with S3_PAUSE.

S3_PAUSE is a shell command that stops the store, waits, and starts it again with its data.
"""

import os
import re
import subprocess

import pytest

from components.shared import storage
from tests.e2e.bucket_sandbox import BucketSandbox
from tests.e2e.sandbox import states
from tests.factories import STEPS


@pytest.fixture
def sandbox(bucket, s3, tmp_path) -> BucketSandbox:
    return BucketSandbox(tmp_path, bucket, s3)


def test_a_run_waits_for_a_store_that_is_restarted(sandbox):
    lines, pauses = [], ["CaptionIngest", "Transform"]
    with sandbox.start(sandbox.arguments("run")) as process:
        for line in process.stdout:
            lines.append(line)
            if pauses and re.search(rf"\) {pauses[0]} +done", line):  # the next step begins
                pauses.pop(0)
                subprocess.run(os.environ["S3_PAUSE"], shell=True, check=True)
    assert process.returncode == 0 and not pauses, "".join(lines)
    summary = sandbox.summary()
    assert states(summary) == dict.fromkeys(STEPS, "done")
    assert storage.exists(f"{summary['pushed_model']}/saved_model.pb")
    assert "trying again in" in storage.read_text(sandbox.paths.run(summary["run_id"]).log)
