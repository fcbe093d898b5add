"""Asking a batch's workflow for an operator's action, the one way in which commands do."""

import asyncio

from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ActivityError, FailureError
from temporalio.service import RPCError, RPCStatusCode

from domain import limits
from domain.batch_openings import stored_opening
from domain.errors import ControlRefusedError, UnansweredError
from schemas.batches import Batch
from schemas.control import BatchControl, ControlRequest
from settlement_store.port import SettlementStore
from workflows.batch_client import start_batch_workflow
from workflows.settle_batch import SettleBatchWorkflow


async def control_batch(
    client: Client, task_queue: str, store: SettlementStore, batch: Batch, request: ControlRequest
) -> BatchControl:
    """Have a batch's workflow store an action and do as it says; started first, if it does not run. Idempotent.

    Returns:
        What holds now.

    Raises:
        ControlRefusedError: the action makes no sense in the batch's state.
        UnansweredError: no worker answered in time; the action may still come true.
    """
    opening = stored_opening(batch)
    await start_batch_workflow(client, task_queue, opening)
    try:
        return await _send(client, request)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
    # The workflow has completed. If its batch is final now, the store refuses; otherwise the workflow must run again.
    await store.control.control_batch(request)
    await start_batch_workflow(client, task_queue, opening, is_completed=True)
    return await _send(client, request)


async def _send(client: Client, request: ControlRequest) -> BatchControl:
    handle = client.get_workflow_handle_for(SettleBatchWorkflow.run, request.batch_id)
    asked = request.model_dump(mode="json", include={"requested_by", "reason", "window"}, exclude_none=True)
    try:
        async with asyncio.timeout(limits.CONTROL_ANSWER_TIMEOUT_S):
            control: BatchControl = await handle.execute_update(str(request.action), asked, result_type=BatchControl)
            return control
    except WorkflowUpdateFailedError as error:
        cause = error.cause.cause if isinstance(error.cause, ActivityError) else error.cause
        raise ControlRefusedError(cause.message if isinstance(cause, FailureError) else str(cause)) from error
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise UnansweredError(
            f"No worker answered within {limits.CONTROL_ANSWER_TIMEOUT_S} s when batch {request.batch_id} was asked "
            f"for the action {request.action}. It may still come true; see that a worker runs (settle worker), and "
            "ask again: that does no harm."
        ) from error
