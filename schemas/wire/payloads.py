"""Inputs, state and results of workflows and activities: ids, ranges and totals, never lists of orders."""

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.wire.batches import BatchOpening, BatchPlan, BatchState
from schemas.wire.control import BatchControl, FailureThresholds
from schemas.wire.isolation import Exclusions, IsolatedItem, ItemRange
from schemas.wire.totals import ControlTotals, OutcomeTotals


class ChunkRef(BaseModel):
    """Names one chunk, and the cutoff that its orders are validated against.

    A chunk that `acknowledges` tells the Order Center what it validated: that of a Kafka batch, whose orders no
    freezing has acknowledged. `is_turn_promised` says that it was told to ask now for its turn to send credits.
    """

    model_config = ConfigDict(frozen=True)

    batch_id: str
    chunk_index: int
    cutoff_at: AwareDatetime
    acknowledges: bool = False
    is_turn_promised: bool = False


class ChunkRun(ChunkRef):
    """A chunk workflow's input: the chunk, and the bounds of its run.

    At most `probe_count_max` probes look for bad items. Credits without an answer are asked for again for
    `credit_deadline_s`.
    """

    probe_count_max: int
    credit_deadline_s: float


class StepRequest(ChunkRef):
    """A chunk's step over all its items but the excluded ones, and how long an answer may still take."""

    credit_deadline_s: float
    exclusions: Exclusions


class ProbeRequest(ChunkRef):
    """A part of a chunk to try a step on, and how long an answer may still take."""

    credit_deadline_s: float
    items: ItemRange


class TurnWait(BaseModel):
    """With a `wait_s`, nothing was requested: a cap on credits makes the chunk wait that long before it asks again."""

    model_config = ConfigDict(frozen=True)

    wait_s: float = 0
    is_turn_promised: bool = False


class ProbeAnswer(TurnWait):
    """Whether a step fails over the items that were probed, because of their data; a single bad item's outcome."""

    is_bad: bool
    isolated: IsolatedItem | None = None


class HoldRequest(ChunkRef):
    """A chunk to hold, and why, for people to read."""

    detail: str


class ChunkResult(OutcomeTotals):
    """How a chunk ended: its totals, how many probes it took, and why its batch should pause, if it should."""

    probe_count: int = 0
    pause_reason: str | None = None


class HoldRemainingRequest(BaseModel):
    """A batch whose chunks that are not closed are to be held, and why, for people to read."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    detail: str


class CreditingResult(OutcomeTotals, TurnWait):
    """The closed chunk's totals, unless a cap on credits makes it wait."""


class ScheduledRun(BaseModel):
    """Names the batch of one run of the daily schedule, and the time that the run was scheduled for."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    scheduled_at: AwareDatetime


class BatchRunPlan(BatchPlan):
    """A batch's plan, with the thresholds over which this run pauses itself and the bounds of its chunks."""

    thresholds: FailureThresholds
    credit_deadline_s: float


class BatchRunState(BaseModel):
    """How far a batch is. `probe_count` is that of all its chunks since a person resumed it last."""

    model_config = ConfigDict(frozen=True)

    plan: BatchRunPlan
    chunk_index_next: int = 0
    chunk_closed_count: int = 0
    totals: OutcomeTotals = OutcomeTotals()
    probe_count: int = 0
    started_at: AwareDatetime


class BatchRun(BaseModel):
    """A batch workflow's input. What it continues as new with has a `state`, and what was asked of it so far.

    Without an opening, the daily schedule has fired: the time that it was scheduled for gives the opening.
    """

    model_config = ConfigDict(frozen=True)

    opening: BatchOpening | None = None
    state: BatchRunState | None = None
    control: BatchControl = BatchControl()


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
