"""Business dates and their cutoffs. Date D ends at its cutoff: a local time on D in a time zone."""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo


class BusinessCalendar(NamedTuple):
    """The calendar of business dates. Every date has exactly one cutoff.

    If the clocks skip the cutoff time on a date, the offset before the change applies. If the time comes twice, the
    first one counts (PEP 495, `fold=0`).
    """

    cutoff_time_local: time
    cutoff_timezone: ZoneInfo

    def cutoff_of(self, business_date: date) -> datetime:
        """Return the cutoff of a business date, as aware UTC."""
        return datetime.combine(business_date, self.cutoff_time_local, tzinfo=self.cutoff_timezone).astimezone(UTC)

    def latest_business_date(self, at: datetime) -> date:
        """Return the latest business date whose cutoff is not after `at` (aware)."""
        candidate = at.astimezone(self.cutoff_timezone).date()
        while self.cutoff_of(candidate) > at:
            candidate -= timedelta(days=1)
        return candidate
