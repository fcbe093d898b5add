"""Every timeout and every retry policy of workflows, built from `domain.limits`.

Non-retryable errors are raised as such by the activities; everything else is an error of the world (a server
away, a deadlock, a timeout) and is tried again until the deadline.
"""

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy

from domain import limits


class ActivityOptions(TypedDict):
    """Keyword arguments of `workflow.execute_activity_method`."""

    start_to_close_timeout: timedelta
    schedule_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy


class LocalActivityOptions(TypedDict):
    """Keyword arguments of `workflow.execute_local_activity_method`."""

    schedule_to_start_timeout: timedelta
    start_to_close_timeout: timedelta
    retry_policy: RetryPolicy


_WORLD_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=limits.ACTIVITY_RETRY_INITIAL_S),
    backoff_coefficient=limits.ACTIVITY_RETRY_BACKOFF,
    maximum_interval=timedelta(seconds=limits.ACTIVITY_RETRY_MAX_S),
)

CHUNK_ACTIVITY = ActivityOptions(
    start_to_close_timeout=timedelta(seconds=limits.CHUNK_ACTIVITY_TIMEOUT_S),
    schedule_to_close_timeout=timedelta(seconds=limits.ACTIVITY_DEADLINE_S),
    heartbeat_timeout=timedelta(seconds=limits.HEARTBEAT_TIMEOUT_S),
    retry_policy=_WORLD_RETRY,
)

# Settling a chunk at once is tried once. What fails there, or has no slot in time, is left to the two steps.
AT_ONCE = LocalActivityOptions(
    schedule_to_start_timeout=timedelta(seconds=limits.LOCAL_ACTIVITY_QUEUE_S),
    start_to_close_timeout=timedelta(seconds=limits.LOCAL_ACTIVITY_TIMEOUT_S),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

# Freezing and the balance check go through all of a batch, slice by slice.
BATCH_ACTIVITY = ActivityOptions(
    start_to_close_timeout=timedelta(seconds=limits.BATCH_ACTIVITY_TIMEOUT_S),
    schedule_to_close_timeout=timedelta(seconds=limits.ACTIVITY_DEADLINE_S),
    heartbeat_timeout=timedelta(seconds=limits.HEARTBEAT_TIMEOUT_S),
    retry_policy=_WORLD_RETRY,
)

# A workflow task of a killed worker is given to another one after this long. Those that take longer settle
# a chunk at once, and are renewed by the SDK.
WORKFLOW_TASK_TIMEOUT = timedelta(seconds=limits.WORKFLOW_TASK_TIMEOUT_S)


def chunk_read_activity(deadline_s: float) -> ActivityOptions:
    """Asking for the totals of a chunk whose workflow runs under another parent: again and again, bounded."""
    return ActivityOptions(
        start_to_close_timeout=timedelta(seconds=limits.CHUNK_ACTIVITY_TIMEOUT_S),
        schedule_to_close_timeout=timedelta(seconds=deadline_s),
        heartbeat_timeout=timedelta(seconds=limits.HEARTBEAT_TIMEOUT_S),
        retry_policy=RetryPolicy(
            initial_interval=timedelta(seconds=limits.CHUNK_READ_RETRY_INITIAL_S),
            backoff_coefficient=limits.ACTIVITY_RETRY_BACKOFF,
            maximum_interval=timedelta(seconds=limits.CHUNK_READ_RETRY_MAX_S),
        ),
    )
