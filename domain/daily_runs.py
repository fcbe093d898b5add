"""The check that the daily schedule fires once on every date, for every business date."""

from datetime import UTC, date, datetime, time, timedelta

from domain import limits
from domain.business_days import BusinessCalendar
from domain.errors import WrongCallError


def require_safe_run_time(calendar: BusinessCalendar, run_time_local: time, start: date) -> None:
    """Require that a daily run at this local time covers every business date for ten years from `start`.

    Temporal does not fire on a date on which the clocks skip the time, and fires once or twice if the time comes
    twice. Even if every date has the time once, a business date is left out if the clocks move its cutoff past the
    time of the run.

    Raises:
        WrongCallError: a date breaks this rule. The message names it.
    """
    zone = calendar.cutoff_timezone
    expected: date | None = None
    for day_no in range(limits.SCHEDULE_CHECKED_DAY_COUNT):
        run_at = datetime.combine(start + timedelta(days=day_no), run_time_local, tzinfo=zone)
        if run_at.utcoffset() != run_at.replace(fold=1).utcoffset():
            what = "show this time twice" if _exists(run_at) else "skip this time"
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
    """Return whether the clocks of its zone show this time. A skipped time changes on the way to UTC and back."""
    return local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) == local.replace(tzinfo=None)


def _unsafe(calendar: BusinessCalendar, run_time_local: time, reason: str) -> WrongCallError:
    return WrongCallError(
        f"A daily run at {run_time_local} {calendar.cutoff_timezone.key} is not safe. {reason} "
        "Nothing was changed. Set SETTLE_SCHEDULE_TIME_LOCAL to another time, such as one or two hours later."
    )
