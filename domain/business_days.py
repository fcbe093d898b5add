"""Business date D ends at its cutoff: D at a local time in a time zone."""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo


class BusinessCalendar(NamedTuple):
    """When business dates end.

    A local time that the clocks skip is taken as if they had not gone forward yet; of one that comes twice, the
    first counts (PEP 495, `fold=0`). So every date has exactly one cutoff.
    """

    cutoff_time_local: time
    cutoff_timezone: ZoneInfo

    def cutoff_of(self, business_date: date) -> datetime:
        """The cutoff of a business date, as aware UTC."""
        return datetime.combine(business_date, self.cutoff_time_local, tzinfo=self.cutoff_timezone).astimezone(UTC)

    def latest_business_date(self, at: datetime) -> date:
        """The latest business date whose cutoff is not after `at` (aware)."""
        candidate = at.astimezone(self.cutoff_timezone).date()
        while self.cutoff_of(candidate) > at:
            candidate -= timedelta(days=1)
        return candidate
