from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from vitrine.services.values.dates import looks_like_date, read_date, to_utc

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "first", "after"),
    [
        ("2022", "2022-01-01", "2023-01-01"),
        (2022, "2022-01-01", "2023-01-01"),
        ("2024-02", "2024-02-01", "2024-03-01"),
        ("2023-12", "2023-12-01", "2024-01-01"),
        ("2024-W18", "2024-04-29", "2024-05-06"),
        ("2024-W18-3", "2024-05-01", "2024-05-02"),
        ("2024-05-01", "2024-05-01", "2024-05-02"),
        ("20240501", "2024-05-01", "2024-05-02"),
        (20240501, "2024-05-01", "2024-05-02"),
        ("2024/05/01", "2024-05-01", "2024-05-02"),
        ("2024:05:01", "2024-05-01", "2024-05-02"),
        ("2024-05-01Z", "2024-05-01", "2024-05-02"),
        ("2024-05-01+09:00", "2024-04-30T15:00", "2024-05-01T15:00"),
    ],
)
def test_a_date_is_all_of_its_day_week_month_or_year(text: object, first: str, after: str) -> None:
    stretch = read_date(text)
    assert stretch.first == datetime.fromisoformat(first).replace(tzinfo=UTC)
    assert stretch.last + TICK == datetime.fromisoformat(after).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-01T10:30Z", "2024-05-01T10:30:00+00:00"),
        ("2024-05-01 10:30", "2024-05-01T10:30:00+00:00"),
        ("2024-05-01t10:30:00z", "2024-05-01T10:30:00+00:00"),
        ("2024:05:01 10:30:00", "2024-05-01T10:30:00+00:00"),
        ("20240501T103000Z", "2024-05-01T10:30:00+00:00"),
        ("2024-05-01T10+09", "2024-05-01T01:00:00+00:00"),
        ("2024-05-01T10:30:00-0530", "2024-05-01T16:00:00+00:00"),
        ("2024-05-01T00:00:00 09:00", "2024-04-30T15:00:00+00:00"),  # a plus that a web address has lost
        ("2024-05-01 00:00:00 09:00", "2024-04-30T15:00:00+00:00"),
        ("2024-W18-3T10:30:00,5Z", "2024-05-01T10:30:00.500000+00:00"),
        ("2024-05-01T10:30:00.123456789Z", "2024-05-01T10:30:00.123456+00:00"),
    ],
)
def test_a_time_is_one_moment_in_utc(text: str, moment: str) -> None:
    assert to_utc(text) == moment
    assert read_date(text).first == read_date(text).last


@pytest.mark.parametrize(
    "value",
    [
        "last week",
        "",
        "now",
        "01/05/2024",
        "1714521600",
        1714521600,
        1.5,
        True,
        None,
        {"a": 1},
        ["2024"],
        "10000-01-01",
        "0000",
        "2024-02-30",
        "2023-02-29",
        "2024-13",
        "2024-W60",
        "2024-05-01T25:00",
        "2024-05-01T10:61",
        "2024-05-01T10:30:00+25:00",
        "0001-01-01+01:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "２０２４",
        "2024-0501",
        "-2024",
    ],
)
def test_what_is_no_date_is_named_and_never_a_failure(value: object) -> None:
    with pytest.raises(ValueError, match="is not a date") as caught:
        read_date(value)
    assert str(value) in str(caught.value) or isinstance(value, bool | dict | list)
    assert "None" in str(caught.value) if value is None else "Error" not in str(caught.value)


def test_the_last_year_ends_where_dates_do() -> None:
    for text in ("9999", "9999-12", "9999-12-31"):
        assert read_date(text).last == datetime.max.replace(tzinfo=UTC)


def test_moments_written_in_any_zone_are_read_back() -> None:
    seeded = random.Random(5)
    for _ in range(500):
        moment = datetime(1, 1, 3, tzinfo=UTC) + timedelta(
            microseconds=seeded.randrange(9998 * 365 * 86_400_000_000)
        )
        zone = timezone(timedelta(minutes=seeded.randrange(-1439, 1440)))
        assert read_date(moment.astimezone(zone).isoformat()).first == moment
        assert to_utc(moment.isoformat()) == moment.isoformat()


def test_only_days_with_hyphens_make_a_column_one_of_dates() -> None:
    assert all(map(looks_like_date, ["2024-05-01", "2024-W18-3", "2024-05-01T10:30Z"]))
    assert not any(
        map(looks_like_date, ["2024", "2024-05", "20240501", "2024-02-30", "2024/05/01", "1234-5678-90"])
    )
