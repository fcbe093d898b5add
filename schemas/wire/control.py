"""Operator control of a batch: requests with requester and reason, and the resulting control."""

from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict


class ControlAction(StrEnum):
    """The actions that an operator can request for an unclosed batch.

    - pause: starts no new chunks. Chunks in flight finish.
    - resume: ends a pause.
    - abort: starts no new chunks. Chunks in flight finish, the rest is held, and the batch ends as aborted.
    - window: changes the most chunks in flight, from now on.
    """

    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    WINDOW = "window"


class ControlInput(BaseModel):
    """The input of the updates `pause`, `resume` and `abort` of a batch's workflow."""

    model_config = ConfigDict(frozen=True)

    requested_by: str
    reason: str | None = None


class WindowInput(ControlInput):
    """The input of the update `window` of a batch's workflow."""

    window: int


class ControlRequest(ControlInput):
    """A request for an action, with its requester and reason. Only the action `window` has a `window`.

    `action_no_seen` is the latest action that the requester knew of. If another action has been stored since, the
    request is a late attempt and changes nothing.
    """

    batch_id: str
    action: ControlAction
    window: int | None = None
    action_no_seen: int | None = None


class StoredControlAction(ControlInput):
    """A stored action. Only actions that changed something are stored."""

    action_no: int
    action: ControlAction
    window: int | None
    stored_at: AwareDatetime


class BatchControl(BaseModel):
    """The combined effect of a batch's actions so far. Of two, the one with the higher `action_no` is in effect.

    `window` is None only if it was not read from the store. The batch's own window then applies. `is_resumed` means
    that a person has resumed the batch and thereby lifted its thresholds. `reason` is that of the current pause or
    abort.
    """

    model_config = ConfigDict(frozen=True)

    is_paused: bool = False
    is_aborting: bool = False
    window: int | None = None
    action_no: int = 0
    is_resumed: bool = False
    reason: str | None = None


class FailureThresholds(BaseModel):
    """The thresholds over which a batch pauses itself. Both the percentage and the count must be exceeded.

    The percentage is of the orders that have an outcome so far.
    """

    model_config = ConfigDict(frozen=True)

    rejected_percent_max: float
    rejected_count_max: int
    failed_percent_max: float
    failed_count_max: int
