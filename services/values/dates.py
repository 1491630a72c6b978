"""Dates and times as people write them, in cells, edits, filters, query strings and JSON alike.

A date without a time is a stretch of time: a year, a month, a week or a day. A time is one moment. Where no
zone is named it is UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

_TIME = r"(?P<time>\d\d(?::?\d\d(?::?\d\d(?:[.,]\d+)?)?)?)"
_ZONE = r"(?P<zone>[Zz]|[+\- ]\d\d(?::?\d\d)?)?"
_DAY = r"(?P<day>\d{4}(?P<mark>[-/:]?)\d\d(?P=mark)\d\d|\d{4}-?W\d\d-?\d)"
_FORMS: tuple[tuple[re.Pattern[str], str, Callable[[date], date]], ...] = (
    (re.compile(rf"{_DAY}(?:(?:[Tt]| +){_TIME} ?)?{_ZONE}", re.ASCII), "", lambda day: day + timedelta(1)),
    (re.compile(r"(?P<day>\d{4}-?W\d\d)", re.ASCII), "1", lambda day: day + timedelta(weeks=1)),
    (re.compile(r"(?P<day>\d{4}-\d\d)", re.ASCII), "01", lambda day: (day + timedelta(31)).replace(day=1)),
    (re.compile(r"(?P<day>\d{4})", re.ASCII), "0101", lambda day: day.replace(year=day.year + 1)),
)
"""What is written, what makes it the first day that it means, and the day after the last one."""
_MICROSECOND = timedelta(microseconds=1)
_NO_DATE = "is not a date: write it as 2024-05-01, 2024-05-01T10:30:00Z, 2024-05 or 2024"


@dataclass(frozen=True)
class Stretch:
    """The stretch of time that a date means: from its first to its last microsecond, both in UTC. For a
    moment they are equal."""

    first: datetime
    last: datetime


def read_date(value: object) -> Stretch:
    """Return what a date or time means; the number 2022 is a year. ``ValueError`` with a sentence without its
    full stop.

    Years, months, weeks and days are read as ISO 8601 writes them, days with ``/`` or ``:`` too, and a day
    may have a time. A space before the hours of a zone is a plus that a web address has lost.

    >>> str(read_date("2024-05").last), str(read_date("2024-05-01T10:30 09:00").first)
    ('2024-05-31 23:59:59.999999+00:00', '2024-05-01 01:30:00+00:00')
    """
    if isinstance(value, datetime):
        value = value.isoformat()
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    found = next(
        ((match, rest, after) for form, rest, after in _FORMS if (match := form.fullmatch(text))), None
    )
    if found is None:
        raise ValueError(f"{shown(value)} {_NO_DATE}")
    try:
        return _stretch(*found)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a date: there is no such day or time") from None
    except OverflowError:
        raise ValueError(
            f"{text[:40]!r} is not a date that can be stored: its year in UTC is not in 1 to 9999"
        ) from None


def shown(value: object) -> str:
    """Return a refused value for a message, as people write it, in at most 40 characters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(str(value)[:40]) if isinstance(value, str) else str(value)[:40]


def to_utc(value: object) -> str:
    """Return a date as it is stored: its first moment, as RFC 3339 in UTC. ``ValueError`` as ``read_date``.

    >>> to_utc("2024-05-01T00:30:00+09:00"), to_utc("2024-W18-3")
    ('2024-04-30T15:30:00+00:00', '2024-05-01T00:00:00+00:00')
    """
    return read_date(value).first.isoformat()


def looks_like_date(text: str) -> bool:
    """Return whether a column of such words is one of dates: days with hyphens, also with a time. Words in
    other forms may be codes."""
    if len(text) < 10 or text[4] != "-" or not text[:4].isdigit():
        return False
    try:
        read_date(text)
    except ValueError:
        return False
    return True


def _stretch(written: re.Match[str], rest: str, after: Callable[[date], date]) -> Stretch:
    parts = written.groupdict()
    start = date.fromisoformat(re.sub("[-/:]", "", parts["day"]) + rest)
    zone = (parts.get("zone") or "Z").upper().replace(" ", "+").replace(":", "")
    if zone[3:] > "59":
        raise ValueError("a zone has at most 59 minutes")
    midnight = time.fromisoformat(f"00{zone}")
    if parts.get("time"):
        clock = time.fromisoformat(parts["time"].replace(":", "").replace(",", "."))
        moment = datetime.combine(start, clock, midnight.tzinfo).astimezone(UTC)
        return Stretch(moment, moment)
    first = datetime.combine(start, midnight).astimezone(UTC)
    try:
        last = datetime.combine(after(start), midnight).astimezone(UTC) - _MICROSECOND
    except (OverflowError, ValueError):  # the last year has no next one
        if start.year < 9999:
            raise
        last = datetime.max.replace(tzinfo=UTC)
    return Stretch(first, last)
