"""Daily run times that a zone's clock changes would skip are refused before a business date is left out."""

from datetime import date, time
from zoneinfo import ZoneInfo

import pytest

from domain.business_days import BusinessCalendar
from domain.daily_runs import require_safe_run_time
from domain.errors import WrongCallError

START = date(2026, 11, 24)


def calendar(zone: str, cutoff: str = "00:00") -> BusinessCalendar:
    return BusinessCalendar(time.fromisoformat(cutoff), ZoneInfo(zone))


@pytest.mark.parametrize(
    ("run_at", "zone", "cutoff"),
    [
        ("06:00", "UTC", "00:00"),
        ("06:00", "Europe/Berlin", "00:00"),
        ("06:00", "Europe/Berlin", "06:00"),
        ("06:00", "Europe/Berlin", "22:00"),  # the cutoff of the previous date
        ("01:59:59", "Europe/Berlin", "00:00"),
        ("03:30", "Europe/Berlin", "02:30"),
        ("02:30", "Asia/Shanghai", "02:30"),  # its clocks do not change
        ("23:59:59", "America/New_York", "00:00"),
    ],
)
def test_a_time_that_every_date_has_once_is_safe(run_at: str, zone: str, cutoff: str) -> None:
    require_safe_run_time(calendar(zone, cutoff), time.fromisoformat(run_at), START)


@pytest.mark.parametrize(
    ("run_at", "zone", "cutoff", "told"),
    [
        ("02:00", "Europe/Berlin", "00:00", "On 2027-03-28 the clocks there skip this time."),
        ("02:59:59", "Europe/Berlin", "00:00", "On 2027-03-28 the clocks there skip this time."),
        ("01:00", "America/New_York", "00:00", "On 2027-11-07 the clocks there show this time twice."),
        ("02:30", "America/New_York", "00:00", "On 2027-03-14 the clocks there skip this time."),
        ("00:00", "Africa/Cairo", "00:00", "On 2027-04-30 the clocks there skip this time."),
        ("23:30", "Africa/Cairo", "00:00", "On 2027-10-28 the clocks there show this time twice."),
        # 03:00 exists on every date, but on this date the cutoff in the skipped hour comes after it.
        ("03:00", "Europe/Berlin", "02:30", "It would leave out business date 2027-03-28"),
    ],
)
def test_a_time_that_the_clocks_take_away_is_refused_with_the_date(
    run_at: str, zone: str, cutoff: str, told: str
) -> None:
    with pytest.raises(WrongCallError) as refused:
        require_safe_run_time(calendar(zone, cutoff), time.fromisoformat(run_at), START)
    assert told in str(refused.value)
    assert f"{time.fromisoformat(run_at)} {zone}" in str(refused.value)
    assert "SETTLE_SCHEDULE_TIME_LOCAL" in str(refused.value)


def test_the_check_looks_ten_years_ahead_and_not_back() -> None:
    berlin = calendar("Europe/Berlin")
    with pytest.raises(WrongCallError, match="On 2028-03-26 the clocks there skip this time"):
        require_safe_run_time(berlin, time(2, 30), date(2027, 11, 1))
    morocco = calendar("Africa/Casablanca")  # its clocks change with Ramadan, on other dates each year
    with pytest.raises(WrongCallError, match="On 2027-02-07 the clocks there show this time twice"):
        require_safe_run_time(morocco, time(2, 30), START)
