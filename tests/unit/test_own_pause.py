"""A batch that pauses itself ignores a refusal after an abort, but not a cancellation."""

from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, FailureError, RetryState

from schemas.wire.control import BatchControl
from workflows.operator_control import OperatorControl


def failed_by(cause: FailureError) -> ActivityError:
    error = ActivityError(
        "Activity failed.",
        scheduled_event_id=1,
        started_event_id=2,
        identity="a worker",
        activity_type="control_batch",
        activity_id="1",
        retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "is_passed_on"),
    [(ApplicationError("refused", type="ControlRefusedError"), False), (CancelledError("cancelled"), True)],
    ids=["refused", "cancelled"],
)
async def test_a_pause_refused_after_an_abort_is_let_be_and_a_cancelled_one_is_not(
    monkeypatch: pytest.MonkeyPatch, cause: FailureError, *, is_passed_on: bool
) -> None:
    operator = OperatorControl("B1", BatchControl(), Mock(), is_open=True)

    async def abort(*_: Any) -> None:
        operator.apply(BatchControl(is_aborting=True, action_no=1))

    store = AsyncMock(side_effect=failed_by(cause))
    monkeypatch.setattr("workflows.operator_control.workflow.execute_activity_method", store)
    monkeypatch.setattr("workflows.operator_control.workflow.wait_condition", abort)
    if is_passed_on:
        with pytest.raises(ActivityError):
            await operator.pause_itself("Bad data.")
    else:
        await operator.pause_itself("Bad data.")
        assert operator.control.is_aborting
    store.assert_awaited_once()
