"""Cutoffs are right, also on dates with 23 or 25 hours."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from domain.business_days import BusinessCalendar

BERLIN = ZoneInfo("Europe/Berlin")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("business_date", "at", "zone", "cutoff"),
    [
        ("2026-11-22", "00:00", "UTC", "2026-11-22 00:00"),
        ("2026-11-22", "06:00", "Asia/Shanghai", "2026-11-21 22:00"),
        ("2026-11-22", "23:30", "America/New_York", "2026-11-23 04:30"),
        ("2026-03-28", "03:30", "Europe/Berlin", "2026-03-28 02:30"),
        ("2026-03-29", "01:59", "Europe/Berlin", "2026-03-29 00:59"),  # before the clocks go forward
        ("2026-03-29", "02:30", "Europe/Berlin", "2026-03-29 01:30"),  # an hour that the clocks skip
        ("2026-03-29", "03:30", "Europe/Berlin", "2026-03-29 01:30"),  # after the change
        ("2026-10-25", "02:30", "Europe/Berlin", "2026-10-25 00:30"),  # the first of an hour that comes twice
        ("2026-10-25", "03:30", "Europe/Berlin", "2026-10-25 02:30"),
        ("2026-04-24", "00:00", "Africa/Cairo", "2026-04-23 22:00"),  # a midnight that the clocks skip
    ],
)
def test_a_cutoff_is_the_local_time_on_the_business_date(business_date: str, at: str, zone: str, cutoff: str) -> None:
    found = BusinessCalendar(time.fromisoformat(at), ZoneInfo(zone)).cutoff_of(date.fromisoformat(business_date))
    assert found == utc(cutoff)
    assert found.tzinfo is UTC


def test_the_latest_business_date_begins_at_its_cutoff_and_not_before() -> None:
    cutoff = BusinessCalendar(time(6), BERLIN).cutoff_of(date(2026, 11, 22))
    assert BusinessCalendar(time(6), BERLIN).latest_business_date(cutoff) == date(2026, 11, 22)
    assert BusinessCalendar(time(6), BERLIN).latest_business_date(cutoff - timedelta(microseconds=1)) == date(
        2026, 11, 21
    )


@pytest.mark.parametrize(
    ("at", "business_date"),
    [
        ("2026-03-29 01:29:59", "2026-03-28"),
        ("2026-03-29 01:30:00", "2026-03-29"),
        ("2026-10-25 00:29:59", "2026-10-24"),
        ("2026-10-25 00:30:00", "2026-10-25"),
        ("2026-10-25 01:30:00", "2026-10-25"),  # 02:30 for the second time, which is no second cutoff
    ],
)
def test_the_latest_business_date_when_the_clocks_change(at: str, business_date: str) -> None:
    assert BusinessCalendar(time(2, 30), BERLIN).latest_business_date(utc(at)) == date.fromisoformat(business_date)


def test_the_latest_business_date_is_the_zones_date_and_not_utcs() -> None:
    at = utc("2026-11-22 23:00")
    assert BusinessCalendar(time(0), ZoneInfo("Asia/Shanghai")).latest_business_date(at) == date(2026, 11, 23)
    assert BusinessCalendar(time(0), ZoneInfo("America/New_York")).latest_business_date(at) == date(2026, 11, 22)
