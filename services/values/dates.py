"""Dates and times as people write them. Everything that comes in is read here: cells, edits, filters, query
strings, JSON.

A date without a time is a stretch of time: a year, a month, a week or a day. A time is one moment. Without a
zone it is UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone

_ZONE = r"(?P<zone>[Zz]|[+\- ]\d\d(?::?\d\d)?)?"
_TIME = r"(?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?)?"
_DAYS: tuple[str, ...] = (
    r"(?P<year>\d{4})(?P<mark>[-/:]?)(?P<month>\d\d)(?P=mark)(?P<day>\d\d)",
    r"(?P<year>\d{4})-?W(?P<week>\d\d)-?(?P<weekday>\d)",
)
_FORMS = (
    *(re.compile(rf"{day}(?:(?:[Tt]| +){_TIME} ?)?{_ZONE}", re.ASCII) for day in _DAYS),
    re.compile(r"(?P<year>\d{4})-?W(?P<week>\d\d)", re.ASCII),
    re.compile(r"(?P<year>\d{4})-(?P<month>\d\d)", re.ASCII),
    re.compile(r"(?P<year>\d{4})", re.ASCII),
)
_MICROSECOND = timedelta(microseconds=1)
_NO_DATE = "is not a date: write it as 2024-05-01, 2024-05-01T10:30:00Z, 2024-05 or 2024"


@dataclass(frozen=True)
class Stretch:
    """What a date means: from its first to its last microsecond, both in UTC. A moment begins and ends at
    once."""

    first: datetime
    last: datetime


def read_date(value: object) -> Stretch:
    """What a date or time means. A number counts as its digits: 2022 is a year. ``ValueError`` with a
    sentence without its end.

    Understood are years, months, weeks and days as ISO 8601 has them, days with ``/`` or ``:`` too, and times
    after a day. A space before the hours of a zone is a plus that a web address has lost.

    >>> str(read_date("2024-05").last), str(read_date("2024-05-01T10:30 09:00").first)
    ('2024-05-31 23:59:59.999999+00:00', '2024-05-01 01:30:00+00:00')
    """
    if isinstance(value, datetime):
        value = value.isoformat()
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    found = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    if found is None:
        raise ValueError(f"{shown(value)} {_NO_DATE}")
    try:
        return _stretch(found.groupdict())
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a date: there is no such day or time") from None
    except OverflowError:
        raise ValueError(
            f"{text[:40]!r} is not a date that can be held: its year in UTC is not in 1 to 9999"
        ) from None


def shown(value: object) -> str:
    """A value that is refused, as people write it, in 40 characters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(str(value)[:40]) if isinstance(value, str) else str(value)[:40]


def to_utc(value: object) -> str:
    """A date as it is stored: its first moment as RFC 3339 in UTC. ``ValueError`` with a sentence without its
    end.

    >>> to_utc("2024-05-01T00:30:00+09:00"), to_utc("2024-W18-3")
    ('2024-04-30T15:30:00+00:00', '2024-05-01T00:00:00+00:00')
    """
    return read_date(value).first.isoformat()


def looks_like_date(text: str) -> bool:
    """Whether a column of such words is one of dates: days with hyphens, also with a time. Other forms may be
    codes."""
    if len(text) < 10 or text[4] != "-" or not text[:4].isdigit():
        return False
    try:
        read_date(text)
    except ValueError:
        return False
    return True


def _stretch(parts: dict[str, str | None]) -> Stretch:
    zone = _zone(parts.get("zone"))
    year = int(parts["year"] or 0)
    if parts.get("hour"):
        first = _moment(_day(year, parts), parts, zone).astimezone(UTC)
        return Stretch(first, first)
    if parts.get("day") or parts.get("weekday"):
        start = _day(year, parts)
        return _stretch_of(start, zone, lambda day: day + timedelta(days=1))
    if parts.get("week"):
        return _stretch_of(
            date.fromisocalendar(year, int(parts["week"] or 0), 1), zone, lambda day: day + timedelta(weeks=1)
        )
    if parts.get("month"):
        start = date(year, int(parts["month"] or 0), 1)
        return _stretch_of(start, zone, lambda day: (day.replace(day=28) + timedelta(days=4)).replace(day=1))
    return _stretch_of(date(year, 1, 1), zone, lambda day: day.replace(year=day.year + 1))


def _stretch_of(start: date, zone: timezone, following: Callable[[date], date]) -> Stretch:
    """From the start of a day to the end of the day before ``following``."""
    first = datetime(start.year, start.month, start.day, tzinfo=zone).astimezone(UTC)
    try:
        end = following(start)
        last = datetime(end.year, end.month, end.day, tzinfo=zone).astimezone(UTC) - _MICROSECOND
    except (OverflowError, ValueError):
        if start.year < 9999:
            raise
        last = datetime.max.replace(tzinfo=UTC)
    return Stretch(first, last)


def _day(year: int, parts: dict[str, str | None]) -> date:
    if parts.get("weekday"):
        return date.fromisocalendar(year, int(parts["week"] or 0), int(parts["weekday"] or 0))
    return date(year, int(parts["month"] or 0), int(parts["day"] or 0))


def _moment(day: date, parts: dict[str, str | None], zone: timezone) -> datetime:
    fraction = int((parts["fraction"] or "").ljust(6, "0")[:6])
    hour, minute, second = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    return datetime(day.year, day.month, day.day, hour, minute, second, fraction, tzinfo=zone)


def _zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[3:].lstrip(":") or 0)
    if minutes > 59:
        raise ValueError("a zone has at most 59 minutes")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)
