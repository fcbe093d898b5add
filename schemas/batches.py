"""Batches as they are stored and read."""

from datetime import datetime
from typing import NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.wire.batches import BatchOpening, BatchState
from schemas.wire.reports import BatchReport, SinceClosing


class Batch(BatchOpening):
    """A stored batch. `business_date` and `cutoff_at` are set once it is frozen."""

    state: BatchState
    item_count: int
    duplicate_count: int
    conflict_count: int
    opened_at: AwareDatetime
    frozen_at: AwareDatetime | None
    started_at: AwareDatetime | None
    closed_at: AwareDatetime | None


class UnclosedBatch(NamedTuple):
    """An unclosed batch, the time since it was opened, by the database's clock, and its latest `action_no`."""

    batch: Batch
    age_s: float
    action_no: int = 0


class AppendResult(NamedTuple):
    """The result of an append of offered orders. Both lists of conflicts are in order_id order.

    `unanswered_conflict_order_ids` are the conflicts with an item that has no outcome yet. They are counted but must
    not be acknowledged: the next run must offer them again.
    """

    claimed_count: int
    duplicate_count: int
    conflict_order_ids: tuple[str, ...]
    unanswered_conflict_order_ids: tuple[str, ...]


class AppendedOffers(NamedTuple):
    """The number of offers, from the first one, that were appended or counted, and the conflicts among them."""

    offer_count: int
    conflict_order_ids: tuple[str, ...]


class RetiredBatch(NamedTuple):
    """A closed batch that is past its retention and not pruned yet.

    It is not pruned while one of its items is held and still its order's latest, a batch that reruns it is unclosed,
    or it has undelivered outbox rows.
    """

    batch_id: str
    closed_at: datetime
    item_count: int
    held_count: int
    unclosed_rerun_count: int
    undelivered_count: int


class BatchProgress(BaseModel):
    """The counts of a batch, cheap enough to read every second."""

    model_config = ConfigDict(frozen=True)

    state: BatchState
    planned: int
    settled: int
    rejected: int
    failed: int
    held: int
    chunk_count: int
    chunk_closed_count: int


class KeptReport(NamedTuple):
    """A closed batch's report. `since_closing` is set once pruning begins, and is as of then."""

    report: BatchReport
    since_closing: SinceClosing | None = None

    @property
    def is_being_pruned(self) -> bool:
        """Whether pruning has begun, after which the batch's items may be gone."""
        return self.since_closing is not None
