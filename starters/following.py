"""Shared by the commands that start a batch: start its workflow, print where to watch it, wait for its end."""

import asyncio
from contextlib import suppress

import typer
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError

from domain import limits
from domain.identifiers import batch_workflow_id
from runtime.adapters import open_settlement_store
from runtime.settings import Settings
from schemas.wire.batches import BatchOpening, BatchState
from schemas.wire.payloads import BatchResult
from settling.reporting import fetch_kept_report
from starters.console import fail, print_notice
from starters.exit_codes import EXIT_BAD_OUTCOME
from starters.report import print_report
from workflows.batch_client import start_batch_workflow
from workflows.search_attributes import BATCH_STATE
from workflows.settle_batch import SettleBatchWorkflow

BatchHandle = WorkflowHandle[SettleBatchWorkflow, BatchResult]


async def start_and_follow(settings: Settings, client: Client, opening: BatchOpening, *, wait: bool) -> None:
    """Start an opened batch and print where to watch it. With `wait`, wait for its end and print its report.

    Raises:
        typer.Exit: the batch is paused, or it has ended and its outcome is bad.
    """
    handle = await start_batch_workflow(client, settings.task_queue, opening)
    typer.echo(f"Watch it with: settle watch {opening.batch_id}")
    if settings.temporal_ui_url:
        typer.echo(f"In the web UI: {workflow_url(settings, client, opening.batch_id)}")
    if wait:
        await _wait(settings, client, handle, opening.batch_id)


def workflow_url(settings: Settings, client: Client, batch_id: str) -> str:
    """Return the URL of the batch's page in the Temporal web UI."""
    return f"{settings.temporal_ui_url}/namespaces/{client.namespace}/workflows/{batch_workflow_id(batch_id)}"


async def _wait(settings: Settings, client: Client, handle: BatchHandle, batch_id: str) -> None:
    """Wait until the batch ends or pauses. A pause may last until a person resumes the batch.

    Raises:
        typer.Exit: the batch is paused, or its outcome is bad.
    """
    ended, paused = asyncio.create_task(handle.result()), asyncio.create_task(_until_paused(handle))
    missing_worker = asyncio.create_task(_report_missing_worker(client, settings.task_queue))
    await asyncio.wait({ended, paused}, return_when=asyncio.FIRST_COMPLETED)
    paused.cancel()
    missing_worker.cancel()
    if not ended.done():
        ended.cancel()
        paused.result()
        raise fail(await _describe_pause(settings, batch_id), EXIT_BAD_OUTCOME)
    try:
        ended.result()
    except WorkflowFailureError as error:
        raise fail(
            f"The workflow of batch {batch_id} did not complete: {error.cause}. "
            "Nothing is lost. Look at the workflow in the web UI.",
            EXIT_BAD_OUTCOME,
        ) from error
    await print_outcome(settings, batch_id)


async def _report_missing_worker(client: Client, task_queue: str) -> None:
    """Print a notice if no worker has served the task queue lately. Without one, a batch waits silently."""
    await asyncio.sleep(limits.NO_WORKER_NOTICE_S)
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    with suppress(RPCError):  # the wait itself reports a server that does not answer
        if not (await client.workflow_service.describe_task_queue(request)).pollers:
            print_notice(f"No worker serves the task queue {task_queue}, so the batch waits. Start one: settle worker")


async def _until_paused(handle: BatchHandle) -> None:
    while True:
        if (await handle.describe()).typed_search_attributes.get(BATCH_STATE) == BatchState.PAUSED:
            return
        await asyncio.sleep(limits.WATCH_INTERVAL_S)


async def _describe_pause(settings: Settings, batch_id: str) -> str:
    async with open_settlement_store(settings) as store:
        reason = (await store.control.fetch_control(batch_id)).reason
    return (
        f"Batch {batch_id} is paused: {reason or 'no reason was given.'} See who paused it with: settle status "
        f"{batch_id}. Resume it with: settle resume {batch_id}"
    )


async def print_outcome(settings: Settings, batch_id: str) -> None:
    """Print the report of a batch that has ended.

    Raises:
        typer.Exit: the outcome is bad.
    """
    async with open_settlement_store(settings) as store:
        kept = await fetch_kept_report(store, batch_id)
    if kept is None:
        raise fail(
            f"Temporal reports batch {batch_id} as ended, but PostgreSQL does not, so PostgreSQL is the older copy. "
            f"A worker soon starts the batch again. Watch it with: settle watch {batch_id}",
            EXIT_BAD_OUTCOME,
        )
    report = kept.report
    print_report(report)
    if report.state != BatchState.CLOSED or report.failed.order_count or report.held.order_count:
        raise typer.Exit(EXIT_BAD_OUTCOME)
