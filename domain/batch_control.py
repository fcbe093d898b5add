"""What an operator's action makes of a batch, and when a batch pauses itself."""

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
    """What holds after an action; what holds already, unchanged, if the action changes nothing, or comes too late.

    Raises:
        ControlRefusedError: the action makes no sense in this state, or as it is asked for.
    """
    _check(request)
    if request.action_no_seen is not None and control.action_no > request.action_no_seen:
        return control
    if state in FINAL_STATES:
        raise refused(request, f"the batch is {state}, which is final")
    if control.is_aborting and request.action != ControlAction.ABORT:
        raise refused(request, "the batch is being aborted, which cannot be taken back. What it holds can be rerun")
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
    """Whether what is asked for holds already."""
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
    """Which threshold the outcomes so far have passed, in a sentence for the operator; None if none."""
    answered = sum(part.order_count for part in (totals.settled, totals.rejected, totals.failed, totals.held))
    for name, count, percent_max, count_max in (
        ("failed", totals.failed.order_count, thresholds.failed_percent_max, thresholds.failed_count_max),
        ("rejected", totals.rejected.order_count, thresholds.rejected_percent_max, thresholds.rejected_count_max),
    ):
        if count > count_max and count * 100 > percent_max * answered:
            return (
                f"{count:,} of the {answered:,} orders that have an outcome so far were {name} "
                f"({count / answered:.1%}): that is over {percent_max:g}% and over {count_max:,}. Find the cause in "
                "the batch's report and in the life of some of these orders; then resume the batch, or abort it."
            )
    return None


def plan_own_pause(batch_id: str, reason: str) -> ControlRequest:
    """The pause that Settle itself asks for; the reason may quote what another system said."""
    printable = "".join(character if character.isprintable() else " " for character in reason)
    return ControlRequest(
        batch_id=batch_id,
        action=ControlAction.PAUSE,
        requested_by=SETTLE,
        reason=printable[: limits.CONTROL_TEXT_LENGTH_MAX],
    )


def refused(request: ControlRequest, why: str) -> ControlRefusedError:
    """The error for an action that makes no sense."""
    return ControlRefusedError(
        f"Batch {request.batch_id} was not changed by the action {request.action}, which {request.requested_by!r} "
        f"asked for: {why}."
    )


def _check(request: ControlRequest) -> None:
    """Refuse what the updates' schemas let through; what is not printable, PostgreSQL or a terminal would choke on."""
    for name, text in (("requested_by", request.requested_by), ("reason", request.reason or "")):
        if len(text) > limits.CONTROL_TEXT_LENGTH_MAX or not text.isprintable():
            raise refused(request, f"{name} takes {limits.CONTROL_TEXT_LENGTH_MAX} printable characters at most")
    if not request.requested_by:
        raise refused(request, "requested_by is empty; name who asks")
    is_window = request.window is not None and 1 <= request.window <= limits.WINDOW_MAX
    if request.action == ControlAction.WINDOW and not is_window:
        raise refused(request, f"a window is 1 to {limits.WINDOW_MAX} chunks")
