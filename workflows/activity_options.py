"""All timeouts and retry policies of workflows, built from `domain.limits`.

Activities mark their non-retryable errors. Every other error is retried until the deadline. It is usually an
infrastructure error, such as an unreachable server, a deadlock or a timeout.
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

# A local activity tries both steps of a chunk, once. If it fails or gets no slot in time, each step becomes an activity
# of its own.
AT_ONCE = LocalActivityOptions(
    schedule_to_start_timeout=timedelta(seconds=limits.LOCAL_ACTIVITY_QUEUE_S),
    start_to_close_timeout=timedelta(seconds=limits.LOCAL_ACTIVITY_TIMEOUT_S),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

# Freezing and the balance check read a whole batch, slice by slice.
BATCH_ACTIVITY = ActivityOptions(
    start_to_close_timeout=timedelta(seconds=limits.BATCH_ACTIVITY_TIMEOUT_S),
    schedule_to_close_timeout=timedelta(seconds=limits.ACTIVITY_DEADLINE_S),
    heartbeat_timeout=timedelta(seconds=limits.HEARTBEAT_TIMEOUT_S),
    retry_policy=_WORLD_RETRY,
)

# Temporal gives a killed worker's workflow task to another worker after this time. A task takes longer only if it
# settles a chunk in a local activity. The SDK then renews it.
WORKFLOW_TASK_TIMEOUT = timedelta(seconds=limits.WORKFLOW_TASK_TIMEOUT_S)


def chunk_read_activity(deadline_s: float) -> ActivityOptions:
    """Return the options for polling the totals of a chunk whose workflow runs under another parent."""
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
