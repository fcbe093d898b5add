"""What every command that starts a batch does: start its workflow, say where to look, wait for its end."""

import typer
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from domain.identifiers import batch_workflow_id
from runtime.batch_starts import start_batch
from runtime.settings import Settings
from schemas.batches import BatchOpening, BatchState
from schemas.workflows import BatchResult
from starters.console import EXIT_BAD_OUTCOME, fail
from starters.report import fetch_report, print_report
from workflows.settle_batch import SettleBatchWorkflow


async def start_and_follow(settings: Settings, client: Client, opening: BatchOpening, *, wait: bool) -> None:
    """Start an opened batch, say where to look and, if asked to, wait for its end and print its reconciliation.

    Raises:
        typer.Exit: the batch has ended, and its outcome is bad.
    """
    handle = await start_batch(client, settings.task_queue, opening)
    typer.echo(f"Watch it with: settle watch {opening.batch_id}")
    if settings.temporal_ui_url:
        typer.echo(f"In the web UI: {workflow_url(settings, client, opening.batch_id)}")
    if wait:
        await _wait(settings, handle, opening.batch_id)


def workflow_url(settings: Settings, client: Client, batch_id: str) -> str:
    """The batch's page in the Temporal web UI."""
    return f"{settings.temporal_ui_url}/namespaces/{client.namespace}/workflows/{batch_workflow_id(batch_id)}"


async def _wait(settings: Settings, handle: WorkflowHandle[SettleBatchWorkflow, BatchResult], batch_id: str) -> None:
    try:
        await handle.result()
    except WorkflowFailureError as error:
        raise fail(
            f"Batch {batch_id} did not end well: {error.cause}. Nothing is lost; look at its workflow in the web UI.",
            EXIT_BAD_OUTCOME,
        ) from error
    await tell_outcome(settings, batch_id)


async def tell_outcome(settings: Settings, batch_id: str) -> None:
    """Print the reconciliation of a batch that has ended.

    Raises:
        typer.Exit: its outcome is bad.
    """
    report = await fetch_report(settings, batch_id)
    print_report(report)
    if report.state != BatchState.CLOSED or report.failed.order_count or report.held.order_count:
        raise typer.Exit(EXIT_BAD_OUTCOME)
