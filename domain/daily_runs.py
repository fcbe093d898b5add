"""When the daily schedule fires: once on every date, for every business date."""

from datetime import UTC, date, datetime, time, timedelta

from domain import limits
from domain.business_days import BusinessCalendar
from domain.errors import WrongCallError


def require_safe_run_time(calendar: BusinessCalendar, run_time_local: time, start: date) -> None:
    """Require that a daily run at this local time leaves out no business date from `start` on, for ten years.

    Temporal fires on no date on which the clocks skip its time, and once or twice on one on which they come to it
    twice. Where each date has the time once, it fires on each; but a cutoff that the clocks move past the time of
    the run can still leave its business date out.

    Raises:
        WrongCallError: there is such a date; it is named.
    """
    zone = calendar.cutoff_timezone
    expected: date | None = None
    for day_no in range(limits.SCHEDULE_CHECKED_DAY_COUNT):
        run_at = datetime.combine(start + timedelta(days=day_no), run_time_local, tzinfo=zone)
        if run_at.utcoffset() != run_at.replace(fold=1).utcoffset():
            what = "come to it twice" if _exists(run_at) else "skip it"
            raise _unsafe(calendar, run_time_local, f"On {run_at.date()} the clocks there {what}.")
        business_date = calendar.latest_business_date(run_at)
        if expected and business_date > expected:
            raise _unsafe(
                calendar,
                run_time_local,
                f"It would leave out business date {expected}: the clocks move its cutoff "
                f"({calendar.cutoff_time_local}) past the run.",
            )
        expected = business_date + timedelta(days=1)


def _exists(local: datetime) -> bool:
    """Whether the clocks of its zone show this time at all: one that they skip does not survive the way to UTC."""
    return local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) == local.replace(tzinfo=None)


def _unsafe(calendar: BusinessCalendar, run_time_local: time, reason: str) -> WrongCallError:
    return WrongCallError(
        f"A daily run at {run_time_local} {calendar.cutoff_timezone.key} is not safe. {reason} "
        "Nothing was changed; set SETTLE_SCHEDULE_TIME_LOCAL to another time, an hour or two later."
    )
