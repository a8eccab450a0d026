"""The schema that is imported is the one that the driver has observed."""

import pytest
from tfx.types import standard_artifacts

from components.import_schema_gen.executor import Executor
from components.shared import storage
from components.shared.records import FINGERPRINT
from components.shared.step import ChangedDuringStepError
from tests.factories import ROOT


def test_a_schema_that_changes_meanwhile_fails_the_step(tmp_path):
    file = tmp_path / "schema.pbtxt"
    file.write_text((ROOT / "schemas" / "captions.pbtxt").read_text())
    properties = {"schema_file": str(file), FINGERPRINT: storage.sha256(str(file))}
    schema = standard_artifacts.Schema()
    schema.uri = str(tmp_path / "first")
    Executor().Do({}, {"schema": [schema]}, properties)
    assert (tmp_path / "first" / "schema.pbtxt").is_file()
    file.write_text(file.read_text() + "# another\n")
    schema.uri = str(tmp_path / "again")
    with pytest.raises(ChangedDuringStepError, match=r"schema\.pbtxt has changed since this step began; run again"):
        Executor().Do({}, {"schema": [schema]}, properties)
