"""`settle run`: open and start a batch over all overdue orders up to the cutoff."""

from datetime import UTC, date, datetime
from typing import Annotated

import typer
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from domain import limits
from domain.business_days import cutoff_of, latest_business_date
from domain.errors import BatchNotFoundError, WrongCallError
from domain.identifiers import batch_workflow_id, is_batch_id, plan_batch_id
from runtime.adapters import open_order_center, open_settlement_store
from runtime.settings import Settings
from runtime.temporal import connect_temporal
from schemas.batches import Batch, BatchOpening, BatchSource, BatchState
from schemas.workflows import BatchResult, BatchRun
from settlement_store.port import SettlementStore
from starters.console import EXIT_BAD_OUTCOME, fail, load_ready_settings, run_command
from starters.report import fetch_report, print_report
from workflows.activity_options import WORKFLOW_TASK_TIMEOUT
from workflows.batch_details import static_details, static_summary
from workflows.search_attributes import batch_search_attributes
from workflows.settle_batch import SettleBatchWorkflow

_YEAR_MIN = 1970


def run(
    business_date: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Settle up to this date's cutoff; default: the latest one."),
    ] = None,
    batch_id: Annotated[str | None, typer.Option(help="Name the batch; default: from business date and time.")] = None,
    chunk_size: Annotated[int | None, typer.Option(min=1, max=limits.CHUNK_SIZE_MAX, help="Orders in a chunk.")] = None,
    window: Annotated[int | None, typer.Option(min=1, max=limits.WINDOW_MAX, help="Chunks at a time.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; exit 1 if the outcome is bad.")] = False,
) -> None:
    """Open and start a batch over all overdue orders up to the cutoff.

    Nothing overdue: says so, opens none. A batch id that is taken is joined, never started a second time.
    """
    run_command(_run(business_date.date() if business_date else None, batch_id, chunk_size, window, wait=wait))


async def _run(
    business_date: date | None, batch_id: str | None, chunk_size: int | None, window: int | None, *, wait: bool
) -> None:
    settings = await load_ready_settings()
    opening = plan_opening(settings, datetime.now(UTC), business_date, batch_id, chunk_size, window)
    client = await connect_temporal(settings)
    async with open_order_center(settings) as order_center, open_settlement_store(settings) as store:
        known = await _fetch_known(store, opening.batch_id)
        if not known and not await order_center.fetch_overdue_slice(opening.cutoff_at, None, 1):
            typer.echo(f"Nothing is overdue up to {_utc(opening.cutoff_at)}; no batch was opened.")
            return
        if not known:
            # Before the workflow is: PostgreSQL knows of every batch that Temporal may know of.
            await store.open_batch(opening)
    if known:
        opening = BatchOpening.model_validate(known.model_dump(include=set(BatchOpening.model_fields)))
        typer.echo(f"Batch {known.batch_id} exists and is {known.state}; it keeps its cutoff, chunk size and window.")
    else:
        typer.echo(f"Batch {opening.batch_id}: the orders overdue at {_utc(opening.cutoff_at)}.")
    handle = await start_batch(client, settings.task_queue, opening)
    typer.echo(f"Watch it with: settle watch {opening.batch_id}")
    if settings.temporal_ui_url:
        typer.echo(f"In the web UI: {workflow_url(settings, client, opening.batch_id)}")
    if wait:
        await _wait(settings, handle, opening.batch_id)


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


async def _fetch_known(store: SettlementStore, batch_id: str) -> Batch | None:
    try:
        return await store.fetch_batch(batch_id)
    except BatchNotFoundError:
        return None


def plan_opening(
    settings: Settings,
    now: datetime,
    business_date: date | None = None,
    batch_id: str | None = None,
    chunk_size: int | None = None,
    window: int | None = None,
) -> BatchOpening:
    """The opening of a manual batch.

    Raises:
        WrongCallError: the batch id cannot name a batch, or the business date's cutoff is still to come.
    """
    latest = latest_business_date(now, settings.cutoff_time_local, settings.zone)
    business_date = business_date or latest
    if business_date.year < _YEAR_MIN:
        raise WrongCallError(f"Business date {business_date} is before the year {_YEAR_MIN}.")
    if business_date > latest:
        raise WrongCallError(
            f"Business date {business_date} has not reached its cutoff yet; the latest that has is {latest}."
        )
    batch_id = batch_id or plan_batch_id(BatchSource.MANUAL, business_date, now)
    if not is_batch_id(batch_id):
        raise WrongCallError(
            f"{batch_id!r} cannot name a batch: use up to {limits.BATCH_ID_LENGTH_MAX} letters, digits, "
            "dots, dashes and underscores, beginning with a letter or digit, not ending like a chunk's workflow id."
        )
    return BatchOpening(
        batch_id=batch_id,
        source=BatchSource.MANUAL,
        business_date=business_date,
        cutoff_at=cutoff_of(business_date, settings.cutoff_time_local, settings.zone),
        chunk_size=chunk_size or settings.chunk_size,
        window=window or settings.window,
    )


async def start_batch(
    client: Client, task_queue: str, opening: BatchOpening
) -> WorkflowHandle[SettleBatchWorkflow, BatchResult]:
    """Start the batch's workflow; one that runs or has completed is joined instead. Idempotent."""
    workflow_id = batch_workflow_id(opening.batch_id)
    try:
        return await client.start_workflow(
            SettleBatchWorkflow.run,
            BatchRun(opening=opening),
            id=workflow_id,
            task_queue=task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            task_timeout=WORKFLOW_TASK_TIMEOUT,
            search_attributes=batch_search_attributes(opening),
            static_summary=static_summary(opening),
            static_details=static_details(opening),
        )
    except WorkflowAlreadyStartedError:
        return client.get_workflow_handle_for(SettleBatchWorkflow.run, workflow_id)


def workflow_url(settings: Settings, client: Client, batch_id: str) -> str:
    """The batch's page in the Temporal web UI."""
    return f"{settings.temporal_ui_url}/namespaces/{client.namespace}/workflows/{batch_workflow_id(batch_id)}"


async def _wait(settings: Settings, handle: WorkflowHandle[SettleBatchWorkflow, BatchResult], batch_id: str) -> None:
    try:
        result = await handle.result()
    except WorkflowFailureError as error:
        raise fail(
            f"Batch {batch_id} did not end well: {error.cause}. Nothing is lost; look at its workflow in the web UI.",
            EXIT_BAD_OUTCOME,
        ) from error
    report = await fetch_report(settings, batch_id)
    print_report(report)
    if result.state != BatchState.CLOSED or report.failed.order_count or report.held.order_count:
        raise typer.Exit(EXIT_BAD_OUTCOME)
