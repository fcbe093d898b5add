"""What a new batch is opened with, by the way its orders are found."""

from datetime import date, datetime
from typing import NamedTuple
from zlib import crc32

from domain import limits
from domain.batch_control import DEFAULT_THRESHOLDS
from domain.business_days import BusinessCalendar
from domain.errors import InvariantViolationError, WrongCallError
from domain.identifiers import is_batch_id, plan_batch_id, plan_kafka_batch_id
from schemas.batches import Batch
from schemas.wire.batches import BatchOpening, BatchSource, RerunSelection
from schemas.wire.control import FailureThresholds

_YEAR_MIN = 1970


class BatchSettings(NamedTuple):
    """What every new batch gets, unless its starter says otherwise."""

    calendar: BusinessCalendar
    chunk_size: int
    window: int
    thresholds: FailureThresholds = DEFAULT_THRESHOLDS
    credit_deadline_s: float = limits.CREDIT_DEADLINE_DEFAULT_S


def plan_manual_opening(
    settings: BatchSettings,
    started_at: datetime,
    business_date: date | None = None,
    batch_id: str | None = None,
    chunk_size: int | None = None,
    window: int | None = None,
    credits_per_s: int | None = None,
) -> BatchOpening:
    """A batch that a person starts, over all orders overdue at the cutoff of a business date (None: the latest).

    Raises:
        WrongCallError: the batch id cannot name a batch, or the business date's cutoff is still to come.
    """
    latest = settings.calendar.latest_business_date(started_at)
    business_date = business_date or latest
    if business_date.year < _YEAR_MIN:
        raise WrongCallError(f"Business date {business_date} is before the year {_YEAR_MIN}.")
    if business_date > latest:
        raise WrongCallError(
            f"Business date {business_date} has not reached its cutoff yet; the latest that has is {latest}."
        )
    return BatchOpening(
        batch_id=_checked(batch_id)
        if batch_id is not None
        else plan_batch_id(BatchSource.MANUAL, business_date, started_at),
        source=BatchSource.MANUAL,
        business_date=business_date,
        cutoff_at=settings.calendar.cutoff_of(business_date),
        chunk_size=chunk_size or settings.chunk_size,
        window=window or settings.window,
        credits_per_s=credits_per_s,
    )


def plan_kafka_opening(settings: BatchSettings, opened_at: datetime, instance_id: str) -> BatchOpening:
    """A batch that an intake process fills; freezing gives it its cutoff and business date."""
    business_date = settings.calendar.latest_business_date(opened_at)
    return BatchOpening(
        batch_id=plan_kafka_batch_id(business_date, opened_at, instance_id),
        source=BatchSource.KAFKA,
        business_date=None,
        cutoff_at=None,
        chunk_size=settings.chunk_size,
        window=settings.window,
    )


def plan_rerun_opening(settings: BatchSettings, started_at: datetime, rerun: RerunSelection) -> BatchOpening:
    """A batch over exception items of an earlier one; freezing gives it its cutoff and business date.

    Its id ends with a digest of the selection: of reruns started in the same second, those of the same items become
    one batch, and others do not meet.
    """
    business_date = settings.calendar.latest_business_date(started_at)
    return BatchOpening(
        batch_id=f"{plan_batch_id(BatchSource.RERUN, business_date, started_at)}-{_digest(rerun):08x}",
        source=BatchSource.RERUN,
        business_date=None,
        cutoff_at=None,
        chunk_size=settings.chunk_size,
        window=settings.window,
        rerun=rerun,
    )


def plan_scheduled_opening(settings: BatchSettings, batch_id: str, scheduled_at: datetime) -> BatchOpening:
    """The batch of a run of the daily schedule, over all orders overdue at the latest cutoff not after its time.

    It is the time that the run was scheduled for, never the time at which it starts: a run that is caught up after
    an outage has the business date that it was meant for.

    Raises:
        WrongCallError: the batch id cannot name a batch.
    """
    business_date = settings.calendar.latest_business_date(scheduled_at)
    return BatchOpening(
        batch_id=_checked(batch_id),
        source=BatchSource.SCHEDULE,
        business_date=business_date,
        cutoff_at=settings.calendar.cutoff_of(business_date),
        chunk_size=settings.chunk_size,
        window=settings.window,
    )


def stored_opening(batch: Batch) -> BatchOpening:
    """What a stored batch goes on with, whatever the settings say by now."""
    return BatchOpening.model_validate(batch.model_dump(include=set(BatchOpening.model_fields)))


def required_cutoff(opening: BatchOpening) -> datetime:
    """The cutoff of a batch that is opened with one.

    Raises:
        InvariantViolationError: it is opened without; only freezing will give it.
    """
    if opening.cutoff_at is None:
        raise InvariantViolationError(
            f"Batch {opening.batch_id} of source {opening.source} was opened without a cutoff, so that no orders can "
            "be overdue at it. Nothing was done; this is an error in Settle."
        )
    return opening.cutoff_at


def _digest(rerun: RerunSelection) -> int:
    return crc32(rerun.model_dump_json().encode())


def _checked(batch_id: str) -> str:
    if not is_batch_id(batch_id):
        raise WrongCallError(
            f"{batch_id!r} cannot name a batch: use up to {limits.BATCH_ID_LENGTH_MAX} letters, digits, "
            "dots, colons, dashes and underscores, beginning with a letter or digit, not beginning like the id of a "
            "workflow of Temporal's own (temporal-sys-) and not ending like a chunk's."
        )
    return batch_id
