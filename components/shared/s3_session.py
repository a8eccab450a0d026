"""A session of S3's client that parses times quickly: otherwise they are two thirds of the work of a listing."""

import datetime
import email.utils
from collections.abc import Mapping
from typing import Any

import aiobotocore.session
import botocore.utils


def new_session(options: Mapping[str, Any]) -> aiobotocore.session.AioSession:
    """Creates a session.

    Args:
      options: what it is created with otherwise, such as a profile.
    """
    session = aiobotocore.session.AioSession(**options)
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parse_time)
    return session


def parse_time(value: Any) -> datetime.datetime:
    """Parses a time as listings have it (ISO 8601) or headers of HTTP; any other one as the client does it.

    >>> parse_time("2026-12-01T08:07:11.000Z") == parse_time("Tue, 01 Dec 2026 08:07:11 GMT")
    True
    """
    try:
        if value.endswith("Z"):
            return datetime.datetime.fromisoformat(f"{value[:-1]}+00:00")
        if value.endswith("GMT"):
            return email.utils.parsedate_to_datetime(value)
    except (AttributeError, TypeError, ValueError):
        pass
    return botocore.utils.parse_timestamp(value)
