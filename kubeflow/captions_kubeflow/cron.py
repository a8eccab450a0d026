"""Cron expressions: what people write has five fields, what Kubeflow Pipelines reads has six."""

import datetime
import re
import zoneinfo

from croniter import CroniterBadDateError, croniter

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NUMBERS = {name: number for names, first in ((_MONTHS, 1), (_DAYS, 0)) for number, name in enumerate(names, first)}


class CronError(ValueError):
    """The expression can't be used; the message says why."""


def to_six_fields(expression: str) -> str:
    """Translates for KFP's scheduler, which reads seconds first, and misreads five fields without a word.

    >>> to_six_fields("0 3 * * 7")
    '0 0 3 * * 0'

    Args:
      expression: minute, hour, day of month, month, day of week; Sunday is 0 or 7.

    Raises:
      CronError: it is no such expression.
    """
    fields = expression.split()
    if len(fields) != 5 or not croniter.is_valid(expression):
        raise CronError(
            f"--cron {expression!r}: wanted are minute, hour, day of month, month, day of week: '0 3 * * *'"
        )
    numbers = re.sub("[a-z]{3}", lambda name: str(_NUMBERS.get(name[0], name[0])), expression.lower())
    if re.search(r"[^\d\s*,/-]", numbers):
        raise CronError(
            f"--cron {expression!r}: KFP's scheduler knows *, numbers, names, lists, ranges and steps alone"
        )
    weekdays = fields[4].replace("7", "0") if fields[4] in ("7", "0,7", "7,0") else fields[4]
    if "7" in weekdays.replace("*/7", ""):
        raise CronError(f"--cron {expression!r}: KFP's scheduler has no weekday 7 in lists and ranges; Sunday is 0")
    if any(int(first) > int(last) for first, last in re.findall(r"(\d+)-(\d+)", numbers)):
        raise CronError(f"--cron {expression!r}: KFP's scheduler has no ranges that end before they begin; give a list")
    return " ".join(["0", *fields[:4], weekdays])


def next_times(expression: str, time_zone: str, count: int = 3) -> list[datetime.datetime]:
    """When the next runs will start.

    Args:
      expression: five fields.
      time_zone: of the server, an IANA name: "UTC", "Europe/Berlin".
      count: how many.

    Raises:
      CronError: there is no such time zone, or no such time, as February 30.
    """
    try:
        zone = zoneinfo.ZoneInfo(time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # a directory of zones, as Europe
        raise CronError(f"--time-zone {time_zone}: there is no such time zone; give an IANA name, as UTC") from None
    times = croniter(expression, datetime.datetime.now(zone))
    try:
        return [times.get_next(datetime.datetime) for _ in range(count)]
    except CroniterBadDateError:
        raise CronError(f"--cron {expression!r}: there is no such time") from None
