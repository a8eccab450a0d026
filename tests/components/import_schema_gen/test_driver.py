from tfx.orchestration.portable import data_types

from components.import_schema_gen.driver import Driver
from components.import_schema_gen.executor import schema_path


def fingerprint(schema_file: str) -> str:
    """What the driver adds to the cache key, as TFX's launcher asks for it."""
    output = Driver(None).run(data_types.ExecutionInfo(exec_properties={"schema_file": schema_file}))
    return output.exec_properties["fingerprint"].string_value


def test_the_schema_is_found_beside_the_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a step on a cluster has another working directory
    assert fingerprint("schemas/captions.pbtxt")
    assert schema_path("/some/where") == "/some/where" and schema_path("gs://some/where") == "gs://some/where"


def test_a_changed_schema_is_observed(tmp_path):
    file = tmp_path / "schema.pbtxt"
    file.write_text("one")
    before = fingerprint(str(file))
    file.write_text("two")
    assert fingerprint(str(file)) != before
