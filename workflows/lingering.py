"""Workflow tasks that stay open for a moment, so that what happens meanwhile shares the next one."""

import time

from temporalio import workflow

from domain import limits


def linger() -> None:
    """Keep the workflow task that is being done open for a moment.

    Temporal gives out one task of a workflow at a time, and keeps what happens meanwhile for the next. This blocks the
    thread that the SDK does this one task in, and no other. It is no command: no history tells of it, and a replay
    does not wait.
    """
    if not workflow.unsafe.is_replaying():
        time.sleep(limits.WORKFLOW_TASK_LINGER_S)
