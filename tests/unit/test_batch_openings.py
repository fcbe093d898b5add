"""A run of the daily schedule is opened with the right business date and cutoff."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from domain.batch_openings import BatchSettings, plan_scheduled_opening, stored_opening
from domain.business_days import BusinessCalendar
from domain.errors import WrongCallError
from schemas.batches import Batch
from schemas.wire.batches import BatchOpening, BatchSource, BatchState

BATCH_ID = "settle-daily-2026-11-24T06:00:00Z"


def settings_of(cutoff: str, zone: str) -> BatchSettings:
    return BatchSettings(BusinessCalendar(time.fromisoformat(cutoff), ZoneInfo(zone)), chunk_size=70, window=3)


@pytest.mark.parametrize(
    ("scheduled_at", "business_date", "cutoff_at"),
    [
        ("2026-11-24T05:00:00", "2026-11-24", "2026-11-24T05:00:00"),  # 06:00 in Berlin, at its cutoff
        ("2026-11-24T04:59:59", "2026-11-23", "2026-11-23T05:00:00"),
        ("2027-03-28T04:00:00", "2027-03-28", "2027-03-28T04:00:00"),  # the date with 23 hours
        ("2027-10-31T05:00:00", "2027-10-31", "2027-10-31T05:00:00"),  # the date with 25 hours
        ("2027-10-31T04:00:00", "2027-10-30", "2027-10-30T04:00:00"),
    ],
)
def test_a_scheduled_batch_has_the_latest_cutoff_not_after_its_scheduled_time(
    scheduled_at: str, business_date: str, cutoff_at: str
) -> None:
    opening = plan_scheduled_opening(
        settings_of("06:00", "Europe/Berlin"), BATCH_ID, datetime.fromisoformat(scheduled_at).replace(tzinfo=UTC)
    )
    assert opening == BatchOpening(
        batch_id=BATCH_ID,
        source=BatchSource.SCHEDULE,
        business_date=date.fromisoformat(business_date),
        cutoff_at=datetime.fromisoformat(cutoff_at).replace(tzinfo=UTC),
        chunk_size=70,
        window=3,
    )


def test_a_schedule_whose_runs_cannot_name_a_batch_opens_none() -> None:
    with pytest.raises(WrongCallError, match="cannot name a batch"):
        plan_scheduled_opening(settings_of("00:00", "UTC"), "no/slash-2026-11-24T06:00:00Z", datetime.now(UTC))


def test_a_stored_batch_goes_on_with_what_it_was_opened_with() -> None:
    at = datetime(2026, 11, 24, 6, tzinfo=UTC)
    opening = plan_scheduled_opening(settings_of("00:00", "UTC"), BATCH_ID, at)
    batch = Batch(
        **opening.model_dump(),
        state=BatchState.FROZEN,
        item_count=1,
        duplicate_count=0,
        conflict_count=0,
        opened_at=at,
        frozen_at=at,
        started_at=None,
        closed_at=None,
    )
    assert stored_opening(batch) == opening
