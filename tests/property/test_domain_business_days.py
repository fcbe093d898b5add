"""Every moment belongs to exactly one business date."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from domain.business_days import BusinessCalendar

ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Asia/Shanghai", "Africa/Cairo", "Pacific/Apia"]
).map(ZoneInfo)
MOMENTS = st.timedeltas(timedelta(0), timedelta(days=30 * 365)).map(datetime(2011, 1, 1, tzinfo=UTC).__add__)
TIMES = st.builds(time, st.integers(0, 23), st.sampled_from([0, 30, 59]))


@given(MOMENTS, TIMES, ZONES)
def test_a_moment_lies_between_the_cutoff_of_its_business_date_and_the_next_one(
    at: datetime, cutoff_time_local: time, zone: ZoneInfo
) -> None:
    calendar = BusinessCalendar(cutoff_time_local, zone)
    latest = calendar.latest_business_date(at)
    assert calendar.cutoff_of(latest) <= at
    assert at < calendar.cutoff_of(latest + timedelta(days=1))
