"""Which workers have work of a workflow in flight, as Temporal knows it."""

from temporalio.api.enums.v1 import EventType, PendingActivityState, PendingWorkflowTaskState
from temporalio.client import Client

from workflows.settle_chunk import SettleChunkWorkflow

_CHUNK_TYPE = SettleChunkWorkflow.__name__


async def fetch_worker_pids(client: Client, workflow_id: str) -> list[int]:
    """The pid of the worker of each activity that a workflow has started; of a chunk also if it is settled at once.

    Then its work is within its workflow task, of which the history tells who has it; it may wait there for a slot.

    Raises:
        RPCError: Temporal does not answer, or knows no such workflow.
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
    return [int(pid) for pid in pids if pid.isdecimal()]  # a server answers some tasks itself
