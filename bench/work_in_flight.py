"""Find the workers that have a workflow's work in flight, from Temporal's records."""

from temporalio.api.enums.v1 import EventType, PendingActivityState, PendingWorkflowTaskState
from temporalio.client import Client

from workflows.settle_chunk import SettleChunkWorkflow

_CHUNK_TYPE = SettleChunkWorkflow.__name__


async def fetch_worker_pids(client: Client, workflow_id: str) -> list[int]:
    """Return the worker's pid for each started activity of a workflow, and for a chunk's started workflow task.

    A chunk that is settled in a local activity works within its workflow task. The history has the task's worker. The
    local activity may still be waiting for a slot there.

    Raises:
        RPCError: Temporal did not answer, or has no such workflow.
    """
    handle = client.get_workflow_handle(workflow_id)
    description = await handle.describe()
    raw = description.raw_description
    identities = [
        pending.last_worker_identity
        for pending in raw.pending_activities
        if pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    ]
    task_state = raw.pending_workflow_task.state
    if (
        description.workflow_type == _CHUNK_TYPE
        and task_state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED
    ):
        last = (await handle.fetch_history()).events[-1]
        if last.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
            identities.append(last.workflow_task_started_event_attributes.identity)
    pids = [identity.partition("@")[0] for identity in identities]
    return [int(pid) for pid in pids if pid.isdecimal()]  # the server handles some tasks without a worker
