"""The effect of an operator's action on a batch, and the thresholds at which a batch pauses itself."""

from domain import limits
from domain.errors import ControlRefusedError
from schemas.wire.batches import FINAL_STATES, BatchState
from schemas.wire.control import BatchControl, ControlAction, ControlRequest, FailureThresholds
from schemas.wire.totals import OutcomeTotals

SETTLE = "settle"

DEFAULT_THRESHOLDS = FailureThresholds(
    rejected_percent_max=limits.REJECTED_PERCENT_MAX_DEFAULT,
    rejected_count_max=limits.REJECTED_COUNT_MAX_DEFAULT,
    failed_percent_max=limits.FAILED_PERCENT_MAX_DEFAULT,
    failed_count_max=limits.FAILED_COUNT_MAX_DEFAULT,
)


def plan_control(state: BatchState, control: BatchControl, request: ControlRequest) -> BatchControl:
    """Return the batch's control after an action.

    The control is returned unchanged if the action is already in effect, or if other actions have been stored since
    the request's `action_no_seen`.

    Raises:
        ControlRefusedError: the request is invalid, or its action is impossible in this state.
    """
    _check(request)
    if request.action_no_seen is not None and control.action_no > request.action_no_seen:
        return control
    if state in FINAL_STATES:
        raise refused(request, f"the batch is {state}, which is final")
    if control.is_aborting and request.action != ControlAction.ABORT:
        raise refused(request, "the batch is being aborted, which cannot be undone. Rerun what it holds")
    match request.action:
        case ControlAction.PAUSE:
            changes: dict[str, object] = {"is_paused": True, "reason": request.reason}
        case ControlAction.RESUME:
            changes = {"is_paused": False, "is_resumed": True, "reason": None}
        case ControlAction.ABORT:
            changes = {"is_paused": False, "is_aborting": True, "reason": request.reason}
        case ControlAction.WINDOW:
            changes = {"window": request.window}
    if is_in_effect(control, request):
        return control
    return control.model_copy(update={**changes, "action_no": control.action_no + 1})


def is_in_effect(control: BatchControl, request: ControlRequest) -> bool:
    """Return whether the requested state is already in effect."""
    match request.action:
        case ControlAction.PAUSE:
            return control.is_paused
        case ControlAction.RESUME:
            return not control.is_paused
        case ControlAction.ABORT:
            return control.is_aborting
        case ControlAction.WINDOW:
            return control.window == request.window


def passed_threshold(thresholds: FailureThresholds, totals: OutcomeTotals) -> str | None:
    """Return a sentence for the operator about the first threshold that is exceeded; None if none is."""
    answered = sum(part.order_count for part in (totals.settled, totals.rejected, totals.failed, totals.held))
    for name, count, percent_max, count_max in (
        ("failed", totals.failed.order_count, thresholds.failed_percent_max, thresholds.failed_count_max),
        ("rejected", totals.rejected.order_count, thresholds.rejected_percent_max, thresholds.rejected_count_max),
    ):
        if count > count_max and count * 100 > percent_max * answered:
            return (
                f"{count:,} of the {answered:,} orders that have an outcome so far were {name} "
                f"({count / answered:.1%}): that is over {percent_max:g}% and over {count_max:,}. Find the cause in "
                "the batch's report and in the life of some of these orders. Then resume or abort the batch."
            )
    return None


def plan_own_pause(batch_id: str, reason: str) -> ControlRequest:
    """Build Settle's own request to pause a batch.

    The reason may quote another system. Its unprintable characters become blanks, and it is cut to
    `limits.CONTROL_TEXT_LENGTH_MAX` characters.
    """
    printable = "".join(character if character.isprintable() else " " for character in reason)
    return ControlRequest(
        batch_id=batch_id,
        action=ControlAction.PAUSE,
        requested_by=SETTLE,
        reason=printable[: limits.CONTROL_TEXT_LENGTH_MAX],
    )


def refused(request: ControlRequest, why: str) -> ControlRefusedError:
    """Return the error for an action that the batch refuses."""
    return ControlRefusedError(
        f"The action {request.action}, requested by {request.requested_by!r}, did not change batch "
        f"{request.batch_id}: {why}."
    )


def _check(request: ControlRequest) -> None:
    """Refuse invalid values that the updates' schemas accept.

    Unprintable characters are refused because PostgreSQL or a terminal may not accept them.
    """
    for name, text in (("requested_by", request.requested_by), ("reason", request.reason or "")):
        if len(text) > limits.CONTROL_TEXT_LENGTH_MAX or not text.isprintable():
            raise refused(request, f"{name} takes at most {limits.CONTROL_TEXT_LENGTH_MAX} printable characters")
    if not request.requested_by:
        raise refused(request, "requested_by is empty. Give the name of the requester")
    is_window = request.window is not None and 1 <= request.window <= limits.WINDOW_MAX
    if request.action == ControlAction.WINDOW and not is_window:
        raise refused(request, f"the window must be 1 to {limits.WINDOW_MAX} chunks")
