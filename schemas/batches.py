"""Settlement batches, their chunks and items, and control totals."""

from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.control import BatchControl
from schemas.reasons import Outcome, ReasonCode


class BatchSource(StrEnum):
    """How a batch's orders were found."""

    KAFKA = "kafka"
    SCHEDULE = "schedule"
    MANUAL = "manual"
    RERUN = "rerun"


class BatchState(StrEnum):
    """open -> frozen -> running <-> paused -> closed, aborted or out_of_balance (the three final ones)."""

    OPEN = "open"
    FROZEN = "frozen"
    RUNNING = "running"
    PAUSED = "paused"
    CLOSED = "closed"
    ABORTED = "aborted"
    OUT_OF_BALANCE = "out_of_balance"


FINAL_STATES = frozenset({BatchState.CLOSED, BatchState.ABORTED, BatchState.OUT_OF_BALANCE})


class ControlTotals(BaseModel):
    """Count and sum per currency, in minor units; currencies without an order are left out."""

    model_config = ConfigDict(frozen=True)

    order_count: int = 0
    order_count_by_currency: dict[str, int] = Field(default_factory=dict)
    amount_minor: dict[str, int] = Field(default_factory=dict)


class OutcomeTotals(BaseModel):
    """Control totals by outcome, of a chunk or of a batch."""

    model_config = ConfigDict(frozen=True)

    settled: ControlTotals = ControlTotals()
    rejected: ControlTotals = ControlTotals()
    failed: ControlTotals = ControlTotals()
    held: ControlTotals = ControlTotals()


class RerunSelection(BaseModel):
    """Which exception items of an earlier batch a rerun takes: those of the outcomes and, if given, of the reason.

    An item that is no longer its order's latest is never taken: the order has come in again since.
    """

    model_config = ConfigDict(frozen=True)

    batch_id: str
    outcomes: tuple[Outcome, ...]
    reason_code: ReasonCode | None = None


class BatchOpening(BaseModel):
    """What is known of a batch before its orders are frozen.

    `business_date` and `cutoff_at` are None if freezing is to give them: the database's time then, and the latest
    business date that has its cutoff not after it. `credits_per_s` is the batch's own cap on credits; None for none.
    """

    model_config = ConfigDict(frozen=True)

    batch_id: str
    source: BatchSource
    business_date: date | None
    cutoff_at: AwareDatetime | None
    chunk_size: int
    window: int
    rerun: RerunSelection | None = None
    credits_per_s: int | None = None


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


class BatchPlan(BaseModel):
    """What a running batch has to do; `control` is what was asked of it by the time that it was started, or again."""

    model_config = ConfigDict(frozen=True)

    state: BatchState
    chunk_count: int
    chunk_size: int
    window: int
    business_date: date
    cutoff_at: AwareDatetime
    planned: ControlTotals
    control: BatchControl


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


class SinceClosing(BaseModel):
    """What came of a closed batch's exception items since its closing; its settled items are final.

    `settled` to `pending` count the orders that came in again, by their latest items. `ledger` counts the credits of
    the orders of all exception items, `unconfirmed` those of them whose latest item is pending or held. `balanced`
    holds when ledger = settled + unconfirmed, per currency. `rerun_batch_ids`: the newest batches that rerun this one,
    newest first.
    """

    model_config = ConfigDict(frozen=True)

    rerun_batch_ids: tuple[str, ...]
    settled: ControlTotals
    rejected: ControlTotals
    failed: ControlTotals
    held: ControlTotals
    pending: ControlTotals
    unconfirmed: ControlTotals
    ledger: ControlTotals
    balanced: bool


class BatchReport(BaseModel):
    """The balance check of one batch: the numbers that finance signs.

    `ledger` and `unconfirmed` count the orders whose latest item is in this batch. `balanced` holds when
    planned = settled + rejected + failed + held + pending and ledger = settled + unconfirmed, per currency.

    All of a closed batch is as of its closing and never changes, but `since_closing`; of any other that is None.
    Reports are stored for good: a field that is added needs a default.
    """

    model_config = ConfigDict(frozen=True)

    batch_id: str
    source: BatchSource
    state: BatchState
    business_date: date | None
    rerun_of: str | None
    planned: ControlTotals
    settled: ControlTotals
    rejected: ControlTotals
    failed: ControlTotals
    held: ControlTotals
    pending: ControlTotals
    unconfirmed: ControlTotals
    ledger: ControlTotals
    duplicates: int
    conflicts: int
    balanced: bool
    reasons: dict[str, int]
    chunks: int
    started_at: AwareDatetime | None
    closed_at: AwareDatetime | None
    since_closing: SinceClosing | None = None


class KeptReport(NamedTuple):
    """A closed batch's report; once the batch is being pruned, with what had come since its closing by then."""

    report: BatchReport
    pruning_began_at: datetime | None = None
