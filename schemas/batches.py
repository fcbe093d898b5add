"""Settlement batches as they are stored and read."""

from datetime import datetime
from typing import NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.wire.batches import BatchOpening, BatchState
from schemas.wire.reports import BatchReport, SinceClosing


class Batch(BatchOpening):
    """A batch as stored; `business_date` and `cutoff_at` are there once it is frozen."""

    state: BatchState
    item_count: int
    duplicate_count: int
    conflict_count: int
    opened_at: AwareDatetime
    frozen_at: AwareDatetime | None
    started_at: AwareDatetime | None
    closed_at: AwareDatetime | None


class UnclosedBatch(NamedTuple):
    """A batch in no final state, how long ago it was opened, by the database's clock, and how many actions it had."""

    batch: Batch
    age_s: float
    action_no: int = 0


class AppendResult(NamedTuple):
    """What became of a slice of offered orders; both lists of conflicts are in order_id order.

    `unanswered_conflict_order_ids` are the conflicts with an item that has no outcome yet: they are counted but must
    not be acknowledged, so that the next run offers them again.
    """

    claimed_count: int
    duplicate_count: int
    conflict_order_ids: tuple[str, ...]
    unanswered_conflict_order_ids: tuple[str, ...]


class AppendedOffers(NamedTuple):
    """How many orders of an offer, from its start, have their fate now; and which of these are conflicts."""

    offer_count: int
    conflict_order_ids: tuple[str, ...]


class RetiredBatch(NamedTuple):
    """A closed batch that is past its retention and not pruned yet.

    It is pruned unless one of its items is held and still its order's latest, a batch that reruns it is not closed, or
    it has outbox rows that are not delivered.
    """

    batch_id: str
    closed_at: datetime
    item_count: int
    held_count: int
    unclosed_rerun_count: int
    undelivered_count: int


class BatchProgress(BaseModel):
    """Counts only, cheap enough to ask every second."""

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
    """A closed batch's report; once the batch is being pruned, also what had come since its closing by then."""

    report: BatchReport
    since_closing: SinceClosing | None = None

    @property
    def is_being_pruned(self) -> bool:
        """Whether its items may be gone."""
        return self.since_closing is not None
