"""Inputs, state and results of workflows and activities: ids, ranges and totals, never lists of orders."""

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.batches import BatchOpening, BatchPlan, BatchState, ControlTotals, OutcomeTotals
from schemas.control import BatchControl
from schemas.isolation import IsolatedItem, ItemRange, SetAside


class ChunkRef(BaseModel):
    """Names one chunk, and the cutoff that its orders are validated against.

    A chunk that `acknowledges` tells the Order Center what it validated: that of a Kafka batch, whose orders no
    freezing has acknowledged.

    At most `probe_count_max` probes look for its bad items; its unknown outcomes are asked for again for
    `credit_deadline_s`. `is_turn_promised` says that the chunk was told to ask now for its turn to send credits. A
    chunk that `settles_at_once` first tries both its steps together; one that is not told may be from before that.
    """

    model_config = ConfigDict(frozen=True)

    batch_id: str
    chunk_index: int
    cutoff_at: AwareDatetime
    acknowledges: bool = False
    probe_count_max: int = 400
    credit_deadline_s: float = 3600
    is_turn_promised: bool = False
    settles_at_once: bool = False


class StepRequest(ChunkRef):
    """A chunk's step over all its items but those that are set aside."""

    set_aside: SetAside = SetAside()


class ProbeRequest(ChunkRef):
    """A part of a chunk to try a step on."""

    items: ItemRange


class CapAnswer(BaseModel):
    """With a `wait_s`, nothing was requested: a cap on credits makes the chunk wait that long before it asks again."""

    model_config = ConfigDict(frozen=True)

    wait_s: float = 0
    is_turn_promised: bool = False


class ProbeAnswer(CapAnswer):
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


class CreditAnswer(OutcomeTotals, CapAnswer):
    """The closed chunk's totals, unless a cap on credits makes it wait."""


class ScheduledRun(BaseModel):
    """Names the batch of one run of the daily schedule, and the time that the run was scheduled for."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    scheduled_at: AwareDatetime


class BatchRunState(BaseModel):
    """All that a batch workflow carries over when it continues as new.

    `probe_count` is that of all its chunks since a person resumed it last.
    """

    model_config = ConfigDict(frozen=True)

    plan: BatchPlan
    chunk_index_next: int = 0
    chunk_closed_count: int = 0
    totals: OutcomeTotals = OutcomeTotals()
    control: BatchControl = BatchControl()
    probe_count: int = 0
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
