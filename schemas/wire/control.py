"""Operator control of a batch: what is asked for, by whom and why, and what holds since."""

from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict


class ControlAction(StrEnum):
    """What an operator can ask of a batch that is in no final state.

    pause: no new chunks; those in flight finish. resume: the end of a pause. abort: no new chunks; those in flight
    finish, the rest is held, the batch is closed. window: as many chunks in flight as are named, from now on.
    """

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    WINDOW = "window"


class ControlInput(BaseModel):
    """What the updates `pause`, `resume` and `abort` of a batch's workflow take."""

    model_config = ConfigDict(frozen=True)

    requested_by: str
    reason: str | None = None


class WindowInput(ControlInput):
    """What the update `window` of a batch's workflow takes."""

    window: int


class ControlRequest(ControlInput):
    """An action with who asks for it and why; `window` belongs to the action of that name.

    `action_no_seen` is the last action that the asker knew of: a late attempt, after which others have acted, changes
    nothing any more.
    """

    batch_id: str
    action: ControlAction
    window: int | None = None
    action_no_seen: int | None = None


class StoredControlAction(ControlInput):
    """An action that changed something, as it is kept."""

    action_no: int
    action: ControlAction
    window: int | None
    stored_at: AwareDatetime


class BatchControl(BaseModel):
    """What the actions so far come to. Of two, the one with the higher `action_no` holds.

    `window` is None only where no store was asked: the batch's own holds. `is_resumed`: a person has resumed the
    batch, and thereby lifted its thresholds. `reason` is that of the pause or abort that holds.
    """

    model_config = ConfigDict(frozen=True)

    is_paused: bool = False
    is_aborting: bool = False
    window: int | None = None
    action_no: int = 0
    is_resumed: bool = False
    reason: str | None = None


class FailureThresholds(BaseModel):
    """Over which a batch pauses itself; passed only when both the percent and the count are exceeded.

    The percent is of the orders that have an outcome so far.
    """

    model_config = ConfigDict(frozen=True)

    rejected_percent_max: float
    rejected_count_max: int
    failed_percent_max: float
    failed_count_max: int
