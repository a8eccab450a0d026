"""Cron expressions: what people write has five fields, what Kubeflow Pipelines reads has six."""

import datetime
import zoneinfo

from croniter import croniter


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
    if any(character in expression for character in "L#?"):
        raise CronError(
            f"--cron {expression!r}: KFP's scheduler knows *, numbers, names, lists, ranges and steps alone"
        )
    weekdays = fields[4].replace("7", "0") if fields[4] in ("7", "0,7", "7,0") else fields[4]
    if "7" in weekdays.replace("*/7", ""):
        raise CronError(f"--cron {expression!r}: KFP's scheduler has no weekday 7 in lists and ranges; Sunday is 0")
    return " ".join(["0", *fields[:4], weekdays])


def next_times(expression: str, time_zone: str, count: int = 3) -> list[datetime.datetime]:
    """When the next runs will start.

    Args:
      expression: five fields.
      time_zone: of the server, an IANA name: "UTC", "Europe/Berlin".
      count: how many.

    Raises:
      CronError: there is no such time zone.
    """
    try:
        zone = zoneinfo.ZoneInfo(time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise CronError(f"--time-zone {time_zone}: there is no such time zone; give an IANA name, as UTC") from None
    times = croniter(expression, datetime.datetime.now(zone))
    return [times.get_next(datetime.datetime) for _ in range(count)]
