import json

import pytest
from tfx.orchestration.portable import data_types

from components.pusher import driver


def fingerprint(push_destination: str) -> str:
    """What the driver adds to the cache key, as TFX's launcher asks for it."""
    output = driver.Driver(None).run(data_types.ExecutionInfo(exec_properties={"push_destination": push_destination}))
    return output.exec_properties["fingerprint"].string_value


@pytest.fixture
def destination(tmp_path) -> str:
    return json.dumps({"filesystem": {"base_directory": str(tmp_path)}})


def test_an_empty_serving_directory_is_never_answered_from_the_cache(destination):
    first, second = (fingerprint(destination) for _ in range(2))
    assert first != second


def test_another_served_version_is_observed(tmp_path, destination):
    (tmp_path / "17").mkdir()
    before = fingerprint(destination)
    assert fingerprint(destination) == before
    (tmp_path / "18").mkdir()
    assert fingerprint(destination) != before


@pytest.mark.parametrize("content", [b"", b"gra", bytes(5)])
def test_a_served_version_that_was_damaged_is_observed(tmp_path, destination, content):
    (tmp_path / "17").mkdir()
    (tmp_path / "17" / "saved_model.pb").write_bytes(b"graph")
    before = fingerprint(destination)
    assert fingerprint(destination) == before
    (tmp_path / "17" / "saved_model.pb").write_bytes(content)
    assert fingerprint(destination) != before


def test_the_pushers_code_is_observed_since_tfx_has_no_parameter_for_it(tmp_path, destination, monkeypatch):
    (tmp_path / "17").mkdir()
    before = fingerprint(destination)
    monkeypatch.setattr(driver, "code_identity", lambda *modules: "other code")
    assert fingerprint(destination) != before
