"""Starting a batch's workflow, the same way for commands, intake and the sweep, and sending it actions."""

import asyncio

from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, FailureError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from domain import limits
from domain.batch_openings import stored_opening
from domain.errors import ControlRefusedError, UnansweredError
from domain.identifiers import batch_workflow_id, fairness_key
from schemas.batches import Batch
from schemas.next_steps import NextStep, NextStepKind
from schemas.wire.batches import BatchOpening
from schemas.wire.control import BatchControl, ControlRequest
from schemas.wire.payloads import BatchResult, BatchRun
from settlement_store.port import SettlementStore
from workflows.activity_options import WORKFLOW_TASK_TIMEOUT
from workflows.batch_details import static_details, static_summary
from workflows.search_attributes import batch_search_attributes
from workflows.settle_batch import SettleBatchWorkflow


async def start_batch_workflow(
    client: Client, task_queue: str, opening: BatchOpening, *, is_completed: bool = False
) -> WorkflowHandle[SettleBatchWorkflow, BatchResult]:
    """Start the batch's workflow. If it is running or has completed, return its handle instead. Idempotent.

    Args:
        client: the Temporal client.
        task_queue: the task queue of the workers.
        opening: the batch.
        is_completed: whether the workflow was seen to have completed although the batch is in no final state. It then
            runs again.
    """
    workflow_id = batch_workflow_id(opening.batch_id)
    try:
        return await client.start_workflow(
            SettleBatchWorkflow.run,
            BatchRun(opening=opening),
            id=workflow_id,
            task_queue=task_queue,
            id_reuse_policy=(
                WorkflowIDReusePolicy.ALLOW_DUPLICATE
                if is_completed
                else WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
            ),
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            task_timeout=WORKFLOW_TASK_TIMEOUT,
            priority=Priority(fairness_key=fairness_key(opening.batch_id)),
            search_attributes=batch_search_attributes(opening),
            static_summary=static_summary(opening),
            static_details=static_details(opening),
        )
    except WorkflowAlreadyStartedError:
        return client.get_workflow_handle_for(SettleBatchWorkflow.run, workflow_id)


async def ask_batch_workflow(
    client: Client, task_queue: str, store: SettlementStore, batch: Batch, request: ControlRequest
) -> BatchControl:
    """Have a batch's workflow store an action and apply it. Start the workflow if it is not running. Idempotent.

    Returns:
        The batch's control state.

    Raises:
        ControlRefusedError: the action is not possible in the batch's state.
        UnansweredError: no worker answered in time. The action may still take effect.
    """
    opening = stored_opening(batch)
    await start_batch_workflow(client, task_queue, opening)
    try:
        return await _send(client, request)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
    # The workflow has completed. If its batch is in a final state, the store refuses. Otherwise it runs again.
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
            f"No worker answered within {limits.CONTROL_ANSWER_TIMEOUT_S} s to the action {request.action} on batch "
            f"{request.batch_id}. The action may still take effect, and repeating it is harmless. Check that a "
            "worker is running, then repeat the action.",
            NextStep(kind=NextStepKind.START_WORKER),
        ) from error
