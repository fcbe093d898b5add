"""The openings of new batches, one function for each batch source."""

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
    """The defaults of new batches."""

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
    """Plan a batch that a person starts, over all orders overdue at the cutoff of a business date.

    Args:
        settings: the defaults, used for each value that is None below.
        started_at: the time of the request.
        business_date: None for the latest one whose cutoff has passed.
        batch_id: None for one derived from the business date and `started_at`.
        chunk_size: in orders.
        window: the most chunks in flight.
        credits_per_s: the batch's own cap on credits. None for no cap.

    Raises:
        WrongCallError: the batch id is invalid, the business date is before 1970, or its cutoff has not passed.
    """
    latest = settings.calendar.latest_business_date(started_at)
    business_date = business_date or latest
    if business_date.year < _YEAR_MIN:
        raise WrongCallError(f"Business date {business_date} is before the year {_YEAR_MIN}. Use a later one.")
    if business_date > latest:
        raise WrongCallError(
            f"Business date {business_date} has not reached its cutoff yet. Use {latest} or an earlier date."
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
    """Plan a batch that an intake process fills. Freezing sets its cutoff and business date."""
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
    """Plan a batch over exception items of an earlier batch. Freezing sets its cutoff and business date.

    Its id ends with a digest of the selection. Reruns of the same selection that start in the same second become one
    batch. Reruns of different selections get different ids.
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
    """Plan the batch of a run of the daily schedule, over all orders overdue at the latest cutoff not after its time.

    Args:
        settings: the defaults.
        batch_id: the id that Temporal gave to the run's workflow.
        scheduled_at: when the run was due, not when it starts. A run that is caught up after an outage keeps its
            business date.

    Raises:
        WrongCallError: the batch id is invalid.
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
    """Return the opening of a stored batch, which later changes of the settings do not affect."""
    return BatchOpening.model_validate(batch.model_dump(include=set(BatchOpening.model_fields)))


def required_cutoff(opening: BatchOpening) -> datetime:
    """Return the cutoff of a batch that is opened with one.

    Raises:
        InvariantViolationError: the batch is opened without a cutoff, which only freezing will set.
    """
    if opening.cutoff_at is None:
        raise InvariantViolationError(
            f"Batch {opening.batch_id} of source {opening.source} was opened without a cutoff, so no orders can be "
            "selected for it. Nothing was changed. This is a bug in Settle."
        )
    return opening.cutoff_at


def _digest(rerun: RerunSelection) -> int:
    return crc32(rerun.model_dump_json().encode())


def _checked(batch_id: str) -> str:
    if not is_batch_id(batch_id):
        raise WrongCallError(
            f"{batch_id!r} cannot name a batch: use up to {limits.BATCH_ID_LENGTH_MAX} letters, digits, "
            "dots, colons, dashes and underscores, beginning with a letter or digit. The id must not begin with "
            "temporal-sys-, as Temporal's own workflow ids do, nor end like a chunk's workflow id (.chunk-000042)."
        )
    return batch_id
