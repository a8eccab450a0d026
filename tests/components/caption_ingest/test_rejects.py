import json

import pytest

from components.caption_ingest.rejects import Reason, Reject, TooManyRejects, check_fraction, count

MISSING = [Reject(f"{n}.jpg", n, Reason.MISSING_IMAGE, "no such file", rows=2, source="a.txt") for n in range(1, 5)]
BAD_LINES = [Reject("x", 9, Reason.BAD_LINE, "no tab", source="a.txt")]


def test_reasons_are_counted_most_frequent_first():
    assert list(count(BAD_LINES + MISSING).items()) == [("missing_image", 4), ("bad_line", 1)]


def test_a_reject_is_one_line_of_json():
    assert json.loads(BAD_LINES[0].to_json()) == {
        "image_id": "x",
        "line": 9,
        "reason": "bad_line",
        "detail": "no tab",
        "rows": 1,
        "source": "a.txt",
    }


@pytest.mark.parametrize("text", ["\ud800", "\x1b[2J", "caf\udce9.txt"])
def test_hostile_text_is_escaped(text):
    line = Reject(text, 1, Reason.BAD_LINE, text, source=text).to_json()
    assert line.isprintable() and line.encode()


def test_the_fraction_counts_captions():
    check_fraction(MISSING + BAD_LINES, num_captions=90, max_fraction=0.1)
    with pytest.raises(TooManyRejects):
        check_fraction(MISSING + BAD_LINES, num_captions=89, max_fraction=0.1)
    check_fraction([], num_captions=0, max_fraction=0.0)


def test_captions_that_the_authors_of_a_dataset_have_flagged_fail_no_run():
    flagged = [Reject("y", n, Reason.FLAGGED, "flagged as is_rejected", source="a.txt") for n in range(90)]
    check_fraction(flagged, num_captions=90, max_fraction=0.0)
    check_fraction(BAD_LINES + flagged, num_captions=190, max_fraction=0.01)
    with pytest.raises(TooManyRejects, match=r"^1 of 99 captions") as error:
        check_fraction(BAD_LINES + flagged, num_captions=189, max_fraction=0.01)
    assert "flagged" not in str(error.value)


def test_the_error_gives_reasons_and_three_examples():
    with pytest.raises(TooManyRejects) as error:
        check_fraction(BAD_LINES + MISSING, num_captions=100, max_fraction=0.01)
    lines = str(error.value).splitlines()
    assert lines[0].startswith("9 of 100 captions (9.0%) can't be used; data.max_reject_fraction allows 1.0%. Fix")
    assert lines[1:] == [
        "  missing_image: 4 images, 8 captions",
        "    a.txt:1: 1.jpg: no such file",
        "    a.txt:2: 2.jpg: no such file",
        "    a.txt:3: 3.jpg: no such file",
        "  bad_line: 1 line",
        "    a.txt:9: x: no tab",
    ]
