"""Cron expressions: users write five fields, Kubeflow Pipelines reads six."""

import datetime
import re
import zoneinfo

from croniter import CroniterBadDateError, croniter

from pipeline.errors import UserError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NUMBERS = {name: number for names, first in ((_MONTHS, 1), (_DAYS, 0)) for number, name in enumerate(names, first)}


class CronError(UserError):
    """The expression can't be used; the message says why."""


def to_six_fields(expression: str) -> str:
    """Translates an expression for KFP's scheduler, which reads seconds first and silently misreads five fields.

    >>> to_six_fields("0 3 * * 7")
    '0 0 3 * * 0'

    Args:
      expression: minute, hour, day of month, month, day of week; Sunday is 0 or 7.

    Raises:
      CronError: the expression is not valid, or KFP's scheduler does not support it.
    """
    fields = expression.split()
    if len(fields) != 5 or not croniter.is_valid(expression):
        raise CronError(
            f"--cron {expression!r}: write minute, hour, day of month, month, day of week, as in '0 3 * * *'"
        )
    numbers = re.sub("[a-z]{3}", lambda name: str(_NUMBERS.get(name[0], name[0])), expression.lower())
    if re.search(r"[^\d\s*,/-]", numbers):
        raise CronError(
            f"--cron {expression!r}: KFP's scheduler supports only *, numbers, names, lists, ranges and steps"
        )
    weekdays = fields[4].replace("7", "0") if fields[4] in ("7", "0,7", "7,0") else fields[4]
    if "7" in weekdays.replace("*/7", ""):
        raise CronError(f"--cron {expression!r}: KFP's scheduler has no weekday 7 in lists and ranges; Sunday is 0")
    if any(int(first) > int(last) for first, last in re.findall(r"(\d+)-(\d+)", numbers)):
        raise CronError(
            f"--cron {expression!r}: KFP's scheduler has no ranges that end before they begin; write a list"
        )
    return " ".join(["0", *fields[:4], weekdays])


def next_times(expression: str, time_zone: str, count: int = 3) -> list[datetime.datetime]:
    """Computes when the next runs will start.

    Args:
      expression: cron expression of five fields.
      time_zone: time zone of the server, an IANA name: "UTC", "Europe/Berlin".
      count: number of runs.

    Raises:
      CronError: the time zone is unknown, or the time never occurs, as on February 30.
    """
    try:
        zone = zoneinfo.ZoneInfo(time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a directory of zones, as Europe
        raise CronError(f"--time-zone {time_zone}: unknown time zone; use an IANA name, as in UTC") from None
    times = croniter(expression, datetime.datetime.now(zone))
    try:
        return [times.get_next(datetime.datetime) for _ in range(count)]
    except CroniterBadDateError:
        raise CronError(f"--cron {expression!r}: the time never occurs") from None
