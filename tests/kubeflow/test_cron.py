import datetime
import types
import zoneinfo

import pytest
from captions_kubeflow import cron

from tests.factories import frozen_datetime

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("five", "six"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("*/5 7-17 1,15 7 1-5", "0 */5 7-17 1,15 7 1-5"),
        ("  30  4 * * 1 ", "0 30 4 * * 1"),
        ("0 3 * * 7", "0 0 3 * * 0"),
        ("0 3 * * 0,7", "0 0 3 * * 0,0"),
        ("0 3 * * */7", "0 0 3 * * */7"),
        ("7 7 7 7 *", "0 7 7 7 7 *"),
        ("0 3 * JUL,apr MON-Fri", "0 0 3 * JUL,apr MON-Fri"),
    ],
)
def test_five_fields_become_six(five, six):
    assert cron.to_six_fields(five) == six


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "write minute, hour, day of month, month, day of week"),
        ("0 3 * *", "write minute, hour"),
        ("0 0 3 * * *", "write minute, hour"),
        ("@daily", "write minute, hour"),
        ("60 3 * * *", "write minute, hour"),
        ("0 three * * *", "write minute, hour"),
        ("0 3 L * *", r"supports only \*, numbers, names, lists, ranges and steps"),
        ("0 3 * * 5#2", r"supports only \*, numbers"),
        ("0 3 ? * *", r"supports only \*, numbers"),
        ("0 3 15W * *", r"supports only \*, numbers"),
        ("R 3 * * *", r"supports only \*, numbers"),
        ("0 3 * * 5-7", "no weekday 7 in lists and ranges; Sunday is 0"),
        ("0 3 * * 1,7", "no weekday 7"),
        ("0 22-2 * * *", "no ranges that end before they begin"),
        ("0 3 * * fri-mon", "no ranges that end before they begin"),
    ],
)
def test_what_kfp_would_misread_is_rejected_with_the_expression(expression, why):
    with pytest.raises(cron.CronError, match=why) as caught:
        cron.to_six_fields(expression)
    assert str(caught.value).startswith(f"--cron {expression!r}: ")


@pytest.fixture
def clock(monkeypatch):
    """Sets the clock to 01:30 in Berlin on the day before summer time ends, which is still the day before in UTC."""
    now = datetime.datetime(2026, 10, 23, 23, 30, tzinfo=datetime.timezone.utc)
    monkeypatch.setattr(cron, "datetime", types.SimpleNamespace(datetime=frozen_datetime(now)))


def test_the_next_times_are_those_of_the_zones_clock(clock):
    times = cron.next_times("0 3 * * *", "Europe/Berlin")
    assert [f"{time:%d %H:%M %Z}" for time in times] == ["24 03:00 CEST", "25 03:00 CET", "26 03:00 CET"]
    [time] = cron.next_times("0 3 * * *", "UTC", count=1)
    assert (f"{time:%d %H:%M}", time.utcoffset()) == ("24 03:00", datetime.timedelta())
    [time] = cron.next_times("45 23 * * *", "UTC", count=1)
    assert f"{time:%d}" == "23"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_an_unknown_time_zone_is_rejected(zone):
    with pytest.raises(cron.CronError, match=r"--time-zone .*: unknown time zone; use an IANA name"):
        cron.next_times("0 3 * * *", zone)


def test_a_time_that_never_occurs_is_rejected():
    with pytest.raises(cron.CronError, match=r"'0 3 30 2 \*': the time never occurs"):
        cron.next_times("0 3 30 2 *", "UTC")
