"""Running one chunk's child workflow until it completes, fails or is terminated."""

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ChildWorkflowError, WorkflowAlreadyStartedError

from activities.settlement import SettlementActivities
from domain import limits
from domain.identifiers import chunk_workflow_id
from schemas.wire.payloads import ChunkResult, ChunkRun
from schemas.wire.totals import OutcomeTotals
from workflows import batch_details
from workflows.activity_options import WORKFLOW_TASK_TIMEOUT, chunk_read_activity
from workflows.chunk_steps import hold_chunk
from workflows.search_attributes import chunk_search_attributes
from workflows.settle_chunk import SettleChunkWorkflow


async def run_chunk(chunk: ChunkRun) -> ChunkResult:
    """Run one chunk's child workflow until it ends. If it failed or was terminated, hold its remaining items.

    If the workflow id is taken, a child of another run of the batch has closed the chunk or is still running. This run
    waits until the chunk is closed. If a deadline passes, it starts its own child again, for two cases:

    - The other child has failed in the meantime, which frees the id.
    - The other child has completed, but PostgreSQL was restored to an older state than Temporal and lacks the result.
      From the second start on, the id of a completed child may therefore be reused.
    """
    id_reuse_policy = WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
    for deadline_s in limits.CHUNK_READ_DEADLINES_S:
        try:
            return await _run_child(chunk, id_reuse_policy)
        except WorkflowAlreadyStartedError:
            totals = await _read_totals(chunk, deadline_s)
            if totals:
                return ChunkResult(**dict(totals))
            id_reuse_policy = WorkflowIDReusePolicy.ALLOW_DUPLICATE
        except ChildWorkflowError as error:
            totals = await hold_chunk(chunk, f"The chunk's workflow did not complete: {error.cause or error}")
            return ChunkResult(**dict(totals))
    totals = await hold_chunk(chunk, "The chunk's workflow ran under another batch workflow and did not end in time.")
    return ChunkResult(**dict(totals))


async def _run_child(chunk: ChunkRun, id_reuse_policy: WorkflowIDReusePolicy) -> ChunkResult:
    return await workflow.execute_child_workflow(
        SettleChunkWorkflow.run,
        chunk,
        id=chunk_workflow_id(chunk.batch_id, chunk.chunk_index),
        id_reuse_policy=id_reuse_policy,
        task_timeout=WORKFLOW_TASK_TIMEOUT,
        search_attributes=chunk_search_attributes(chunk.batch_id),
        static_summary=f"chunk {chunk.chunk_index} of batch {chunk.batch_id}",
        static_details=batch_details.CHUNK_STATIC_DETAILS,
    )


async def _read_totals(chunk: ChunkRun, deadline_s: float) -> OutcomeTotals | None:
    """Return the totals of a chunk that another run closes, or None if it is not closed by the deadline."""
    try:
        return await workflow.execute_activity_method(
            SettlementActivities.fetch_chunk_totals,
            chunk,
            summary=f"read the totals of chunk {chunk.chunk_index}",
            **chunk_read_activity(deadline_s),
        )
    except ActivityError:
        return None
