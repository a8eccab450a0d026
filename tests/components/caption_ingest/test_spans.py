import re

import pytest

from components.caption_ingest import spans


def test_the_highest_number_is_the_newest(tmp_path):
    for name in ("span-2", "span-12", "span-x", "span-99.old"):
        (tmp_path / name).mkdir()
    (tmp_path / "span-100").touch()
    assert spans.newest(str(tmp_path / "span-{SPAN}")) == str(tmp_path / "span-12")


def test_a_directory_without_a_span_is_itself(tmp_path):
    assert spans.newest(str(tmp_path)) == str(tmp_path)


def test_a_missing_span_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape("span-{SPAN} with a number")):
        spans.newest(str(tmp_path / "span-{SPAN}"))


@pytest.mark.parametrize("pattern", ["/a-{SPAN}/b", "/a/{SPAN}-{SPAN}"])
def test_a_span_elsewhere_is_refused(pattern):
    with pytest.raises(ValueError, match="only once, in its last part"):
        spans.newest(pattern)
