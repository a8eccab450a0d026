"""The driver, as TFX's launcher asks it: changed data must change the cache key."""

import os
import pathlib

import pytest
from tfx.orchestration.portable import data_types

from components.caption_ingest import inspection
from components.caption_ingest.component import CaptionIngest
from components.caption_ingest.driver import Driver
from components.caption_ingest.inspection_cache import start_generation
from components.caption_ingest.settings import CaptionIngestSettings
from components.shared.code_identity import code_identity
from tests.factories import write_data_set


def observe(data_dir: str | pathlib.Path, cache_dir: str = "no cache") -> dict[str, str]:
    """Runs the driver; returns the execution properties that it sets."""
    component = CaptionIngest(
        CaptionIngestSettings(), cache_dir, dir=str(data_dir), max_images=0, max_reject_fraction=0.01
    )
    info = data_types.ExecutionInfo(exec_properties=dict(component.exec_properties))
    output = Driver(None).run(info)
    properties = {name: value.string_value for name, value in output.exec_properties.items()}
    assert properties == {name: info.exec_properties[name] for name in properties}
    return properties


def test_changed_captions_change_the_fingerprint(tmp_path):
    write_data_set(tmp_path, "a.jpg#0\ta dog\n")
    before = observe(tmp_path)
    assert observe(tmp_path) == before and before["fingerprint"]
    write_data_set(tmp_path, "a.jpg#0\ta cat\n")
    assert observe(tmp_path)["fingerprint"] != before["fingerprint"]


def test_a_span_becomes_the_newest_directory(tmp_path):
    for span in ("day-9", "day-10"):
        write_data_set(tmp_path / span, "a.jpg#0\ta dog\n")
    assert observe(tmp_path / "day-{SPAN}")["dir"] == str(tmp_path / "day-10")


def test_missing_captions_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no captions in"):
        observe(tmp_path)


def test_what_could_not_be_read_is_asked_for_again(tmp_path):
    write_data_set(tmp_path / "data", "a.jpg#0\ta dog\n")
    cache_dir = str(tmp_path / "cache")
    before = observe(tmp_path / "data", cache_dir)
    start_generation(os.path.join(cache_dir, code_identity(inspection.__name__)))
    after = observe(tmp_path / "data", cache_dir)
    assert after["fingerprint"] == before["fingerprint"] and after["generation"] != before["generation"]
    assert observe(tmp_path / "data", cache_dir) == after  # a result with everything is reused
