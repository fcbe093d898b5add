"""Batches as they are opened and planned: what their workflows are given."""

from datetime import date
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.wire.control import BatchControl
from schemas.wire.reasons import Outcome, ReasonCode
from schemas.wire.totals import ControlTotals


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
