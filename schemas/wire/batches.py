"""The openings and plans of batches, which their workflows take."""

from datetime import date
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.wire.control import BatchControl
from schemas.wire.reasons import Outcome, ReasonCode
from schemas.wire.totals import ControlTotals


class BatchSource(StrEnum):
    """The source of a batch's orders."""

    KAFKA = "kafka"
    SCHEDULE = "schedule"
    MANUAL = "manual"
    RERUN = "rerun"


class BatchState(StrEnum):
    """The states of a batch: open -> frozen -> running <-> paused. Final: closed, aborted, out_of_balance."""

    OPEN = "open"
    FROZEN = "frozen"
    RUNNING = "running"
    PAUSED = "paused"
    CLOSED = "closed"
    ABORTED = "aborted"
    OUT_OF_BALANCE = "out_of_balance"


FINAL_STATES = frozenset({BatchState.CLOSED, BatchState.ABORTED, BatchState.OUT_OF_BALANCE})


class RerunSelection(BaseModel):
    """The exception items of an earlier batch that a rerun takes: those of the outcomes and, if given, the reason.

    An item that is no longer its order's latest is never taken, because the order has come in again since.
    """

    model_config = ConfigDict(frozen=True)

    batch_id: str
    outcomes: tuple[Outcome, ...]
    reason_code: ReasonCode | None = None


class BatchOpening(BaseModel):
    """The attributes of a batch before its orders are frozen.

    `business_date` and `cutoff_at` are None if freezing sets them. The cutoff is then the database's time, and the
    business date is the latest one whose cutoff is not after it. `credits_per_s` is the batch's own cap on credits,
    None for no cap.
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
    """The plan of a running batch. `control` is what was in effect when its workflow was started or restarted."""

    model_config = ConfigDict(frozen=True)

    state: BatchState
    chunk_count: int
    chunk_size: int
    window: int
    business_date: date
    planned: ControlTotals
    control: BatchControl
