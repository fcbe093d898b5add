"""The inputs, state and results of workflows and activities. They hold ids, ranges and totals, never order lists."""

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.wire.batches import BatchOpening, BatchPlan, BatchState
from schemas.wire.control import BatchControl, FailureThresholds
from schemas.wire.isolation import Exclusions, IsolatedItem, ItemRange
from schemas.wire.totals import ControlTotals, OutcomeTotals


class ChunkRef(BaseModel):
    """A chunk. `is_turn_promised` says that a turn to send credits was promised for now."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    chunk_index: int
    is_turn_promised: bool = False


class ChunkRun(ChunkRef):
    """A chunk workflow's input: the chunk, and the bounds of its run.

    At most `probe_count_max` probes look for bad items. Credit requests without an answer are retried for
    `credit_deadline_s`.
    """

    probe_count_max: int
    credit_deadline_s: float


class StepRequest(ChunkRef):
    """A step over a chunk's items except the excluded ones, and how long its credit requests may be retried."""

    credit_deadline_s: float
    exclusions: Exclusions


class ProbeRequest(ChunkRef):
    """A part of a chunk on which to try a step, and how long its credit requests may be retried."""

    credit_deadline_s: float
    items: ItemRange


class TurnWait(BaseModel):
    """The wait that a cap on credits requires before the chunk asks again. If it is not zero, nothing was requested."""

    model_config = ConfigDict(frozen=True)

    wait_s: float = 0
    is_turn_promised: bool = False


class ProbeAnswer(TurnWait):
    """Whether a step fails because of the probed items' data, and the outcome of a single bad item."""

    is_bad: bool
    isolated: IsolatedItem | None = None


class HoldRequest(ChunkRef):
    """A chunk to hold, and the reason for people."""

    detail: str


class ChunkResult(OutcomeTotals):
    """A chunk's result: its totals, the number of its probes, and the reason to pause its batch, if there is one."""

    probe_count: int = 0
    pause_reason: str | None = None


class HoldRemainingRequest(BaseModel):
    """A batch whose unclosed chunks are to be held, and the reason for people."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    detail: str


class CreditingResult(OutcomeTotals, TurnWait):
    """The totals of the closed chunk, or the wait that a cap on credits requires."""


class ScheduledRun(BaseModel):
    """The batch id of a run of the daily schedule, and the run's scheduled time."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    scheduled_at: AwareDatetime


class BatchRunPlan(BatchPlan):
    """A batch's plan, with its thresholds and the credit deadline of its chunks."""

    thresholds: FailureThresholds
    credit_deadline_s: float


class BatchRunState(BaseModel):
    """The progress of a batch. `probe_count` covers all its chunks since a person last resumed it."""

    model_config = ConfigDict(frozen=True)

    plan: BatchRunPlan
    chunk_index_next: int = 0
    chunk_closed_count: int = 0
    totals: OutcomeTotals = OutcomeTotals()
    probe_count: int = 0
    started_at: AwareDatetime


class BatchRun(BaseModel):
    """A batch workflow's input. A run that was continued as new has a `state` and the `control` so far.

    The daily schedule starts a run without an opening. Its scheduled time determines the opening.
    """

    model_config = ConfigDict(frozen=True)

    opening: BatchOpening | None = None
    state: BatchRunState | None = None
    control: BatchControl = BatchControl()


class BatchResult(BaseModel):
    """The result of a batch."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    state: BatchState
    planned: ControlTotals
    totals: OutcomeTotals


class BatchRunProgress(BaseModel):
    """The answer of the batch workflow's `progress` query."""

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
