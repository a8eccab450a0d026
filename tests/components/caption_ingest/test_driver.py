"""The driver, as TFX's launcher asks it: changed data must change the cache key."""

import pathlib
from unittest import mock

import pytest
from tfx.orchestration.portable import data_types

from components.caption_ingest.component import CaptionIngest
from components.caption_ingest.driver import Driver
from components.caption_ingest.settings import CaptionIngestSettings
from components.shared.records import INCOMPLETE
from tests.factories import write_data_set
from tests.fake_mlmd import FakeMlmd


def observe(data_dir: str | pathlib.Path, fake_mlmd: FakeMlmd | None = None) -> dict[str, str | int]:
    """Runs the driver; returns the execution properties that it sets."""
    component = CaptionIngest(
        CaptionIngestSettings(), "no cache", dir=str(data_dir), max_images=0, max_reject_fraction=0.01
    )
    info = data_types.ExecutionInfo(exec_properties=dict(component.exec_properties))
    handle = mock.MagicMock()
    handle.__enter__.return_value.store = (fake_mlmd or FakeMlmd()).store
    output = Driver(handle).run(info)
    values = output.exec_properties.items()
    properties = {name: getattr(value, value.WhichOneof("value")) for name, value in values}
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


def test_examples_without_files_that_could_not_be_read_are_not_used_again(tmp_path):
    fake_mlmd, data = FakeMlmd(), tmp_path / "data"
    write_data_set(data, "a.jpg#0\ta dog\n")
    before = observe(data, fake_mlmd)
    fake_mlmd.artifact("Examples", data_root=str(data))
    fake_mlmd.artifact("Examples", data_root="/other", incomplete='["b.jpg"]')
    assert observe(data, fake_mlmd) == before  # a complete result is reused
    incomplete = fake_mlmd.artifact("Examples", data_root=str(data), incomplete='["a.jpg"]')
    after = observe(data, fake_mlmd)
    assert after == before | {INCOMPLETE: incomplete}
    assert observe(data, fake_mlmd) == after
