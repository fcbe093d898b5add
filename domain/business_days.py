"""Business date D ends at its cutoff: D at a local time in a time zone."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def cutoff_of(business_date: date, cutoff_time_local: time, cutoff_timezone: ZoneInfo) -> datetime:
    """The cutoff of a business date, as aware UTC."""
    return datetime.combine(business_date, cutoff_time_local, tzinfo=cutoff_timezone).astimezone(UTC)


def latest_business_date(at: datetime, cutoff_time_local: time, cutoff_timezone: ZoneInfo) -> date:
    """The latest business date whose cutoff is not after `at` (aware)."""
    candidate = at.astimezone(cutoff_timezone).date()
    while cutoff_of(candidate, cutoff_time_local, cutoff_timezone) > at:
        candidate -= timedelta(days=1)
    return candidate
