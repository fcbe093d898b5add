"""Inputs, state and results of workflows and activities: ids, ranges and totals, never lists of orders."""

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.batches import BatchOpening, BatchPlan, BatchState, ControlTotals, OutcomeTotals


class ChunkRef(BaseModel):
    """Names one chunk, and the cutoff that its orders are validated against.

    A chunk that `acknowledges` tells the Order Center what it validated: that of a Kafka batch, whose orders no
    freezing has acknowledged.

    `is_turn_promised` says that the chunk was told to ask now for its turn to send credits.
    """

    model_config = ConfigDict(frozen=True)

    batch_id: str
    chunk_index: int
    cutoff_at: AwareDatetime
    acknowledges: bool = False
    is_turn_promised: bool = False


class HoldRequest(ChunkRef):
    """A chunk to hold, and why, for people to read."""

    detail: str


class CreditStep(OutcomeTotals):
    """The closed chunk's totals; or, with a `wait_s`, none yet: a cap on credits makes it wait that long."""

    wait_s: float = 0
    is_turn_promised: bool = False


class ScheduledRun(BaseModel):
    """Names the batch of one run of the daily schedule, and the time that the run was scheduled for."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    scheduled_at: AwareDatetime


class BatchRunState(BaseModel):
    """All that a batch workflow carries over when it continues as new."""

    model_config = ConfigDict(frozen=True)

    plan: BatchPlan
    chunk_index_next: int = 0
    chunk_closed_count: int = 0
    totals: OutcomeTotals = OutcomeTotals()
    started_at: AwareDatetime


class BatchRun(BaseModel):
    """A batch workflow's input; `state` is set when it continues as new.

    Without an opening, the daily schedule has fired: the time that it was scheduled for gives the opening.
    """

    model_config = ConfigDict(frozen=True)

    opening: BatchOpening | None = None
    state: BatchRunState | None = None


class BatchResult(BaseModel):
    """How a batch ended."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    state: BatchState
    planned: ControlTotals
    totals: OutcomeTotals


class BatchRunProgress(BaseModel):
    """What the batch workflow's `progress` query answers."""

    model_config = ConfigDict(frozen=True)

    phase: str
    chunk_count: int
    chunk_closed_count: int
    chunks_in_flight: list[int]
    planned: int
    settled: int
    rejected: int
    failed: int
    held: int
