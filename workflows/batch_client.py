"""Starting a batch's workflow, the one way in which commands, intake and the sweep do."""

from temporalio.client import Client, WorkflowHandle
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from domain.identifiers import batch_workflow_id, fairness_key
from schemas.batches import BatchOpening
from schemas.workflows import BatchResult, BatchRun
from workflows.activity_options import WORKFLOW_TASK_TIMEOUT
from workflows.batch_details import static_details, static_summary
from workflows.search_attributes import batch_search_attributes
from workflows.settle_batch import SettleBatchWorkflow


async def start_batch_workflow(
    client: Client, task_queue: str, opening: BatchOpening, *, is_completed: bool = False
) -> WorkflowHandle[SettleBatchWorkflow, BatchResult]:
    """Start the batch's workflow; one that runs or has completed is joined instead. Idempotent.

    Args:
        client: of Temporal.
        task_queue: the workers'.
        opening: the batch.
        is_completed: its workflow was seen to have completed while the batch is in no final state: then it runs again.
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
