"""`settle batches`, `settle status BATCH`, `settle watch BATCH`: list batches, show one, follow one."""

import asyncio

import typer
from pydantic import BaseModel, ConfigDict
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from domain import limits
from runtime.adapters import open_settlement_store
from schemas.batches import Batch, BatchProgress
from schemas.wire.batches import FINAL_STATES
from schemas.wire.control import BatchControl, StoredControlAction
from schemas.wire.reports import BatchReport
from settlement_store.port import SettlementStore
from settling.reporting import fetch_kept_report
from starters.console import (
    BatchArgument,
    JsonOption,
    counted,
    err,
    load_ready_settings,
    print_json,
    print_whole,
    run_command,
)
from starters.report import exception_count_of


class BatchList(BaseModel):
    """The newest batches, newest first, with the reports that the closed ones were closed by."""

    model_config = ConfigDict(frozen=True)

    batches: list[Batch]
    reports: dict[str, BatchReport]


class BatchStatus(BaseModel):
    """A batch, its progress (of a closed batch at its closing), its control and the actions on it, oldest first."""

    model_config = ConfigDict(frozen=True)

    batch: Batch
    progress: BatchProgress
    control: BatchControl
    actions: list[StoredControlAction]


def batches(as_json: JsonOption = False) -> None:
    """List the newest batches, newest first."""
    found = run_command(_fetch_batches())
    if as_json:
        print_json(found)
        return
    counts = (Column(name, justify="right") for name in ("orders", "settled", "exceptions"))
    table = Table("batch", "source", "state", "business date", *counts, "opened at (UTC)", "closed at (UTC)")
    for batch in found.batches:
        report = found.reports.get(batch.batch_id)
        table.add_row(
            batch.batch_id,
            batch.source,
            batch.state,
            str(batch.business_date or ""),
            f"{batch.item_count:,}",
            f"{report.settled.order_count:,}" if report else "",
            f"{exception_count_of(report):,}" if report else "",
            f"{batch.opened_at:%Y-%m-%d %H:%M:%S}",
            f"{batch.closed_at:%Y-%m-%d %H:%M:%S}" if batch.closed_at else "",
        )
    print_whole(table)


def status(batch_id: BatchArgument, as_json: JsonOption = False) -> None:
    """Show one batch: its state, progress, settings and operator actions."""
    found = run_command(_fetch_status(batch_id))
    if as_json:
        print_json(found)
        return
    batch, progress = found.batch, found.progress
    typer.echo(f"{batch.batch_id} is {batch.state}: {_counts(progress)}.")
    typer.echo(
        f"{progress.chunk_closed_count:,} of {counted(progress.chunk_count, 'chunk')} closed; "
        f"chunk size {batch.chunk_size:,}, window {found.control.window}; {_cap_of(batch)}{_dates_of(batch)}; "
        f"{counted(batch.duplicate_count, 'duplicate')}, {counted(batch.conflict_count, 'conflict')}."
    )
    for each in found.actions:
        action = f"{each.action} {each.window}" if each.window else each.action
        typer.echo(f"{each.stored_at:%Y-%m-%d %H:%M:%S} UTC: {action}, by {each.requested_by}: {each.reason or '-'}")
    if found.control.is_paused:
        typer.echo(f"Resume it with: settle resume {batch.batch_id}, or abort it with: settle abort {batch.batch_id}")
    elif found.control.is_aborting and batch.state not in FINAL_STATES:
        typer.echo("It is being aborted: chunks in flight finish, and all other items are held.")


def _cap_of(batch: Batch) -> str:
    return f"at most {batch.credits_per_s:,} credits a second; " if batch.credits_per_s else ""


def _dates_of(batch: Batch) -> str:
    if not batch.cutoff_at:
        return "cutoff and business date are not set until it is frozen"
    return f"business date {batch.business_date}, cutoff {batch.cutoff_at:%Y-%m-%d %H:%M:%S} UTC"


def watch(batch_id: BatchArgument) -> None:
    """Follow a batch with a live progress bar until it reaches a final state.

    Interrupting this command does not affect the batch.
    """
    progress = run_command(_watch(batch_id))
    typer.echo(f"{batch_id} is {progress.state}: {_counts(progress)}.")


async def _fetch_batches() -> BatchList:
    async with open_settlement_store(await load_ready_settings()) as store:
        found = await store.batches.fetch_batches(limits.BATCH_LIST_COUNT_MAX)
        kept = await store.reports.fetch_kept_reports([batch.batch_id for batch in found])
    return BatchList(batches=found, reports={batch_id: each.report for batch_id, each in kept.items()})


async def _fetch_status(batch_id: str) -> BatchStatus:
    async with open_settlement_store(await load_ready_settings()) as store:
        kept = await fetch_kept_report(store, batch_id)
        return BatchStatus(
            batch=await store.batches.fetch_batch(batch_id),
            progress=_progress_of(kept.report) if kept else await store.batches.fetch_progress(batch_id),
            control=await store.control.fetch_control(batch_id),
            actions=await store.control.fetch_control_actions(batch_id),
        )


def _progress_of(report: BatchReport) -> BatchProgress:
    return BatchProgress(
        state=report.state,
        planned=report.planned.order_count,
        settled=report.settled.order_count,
        rejected=report.rejected.order_count,
        failed=report.failed.order_count,
        held=report.held.order_count,
        chunk_count=report.chunks,
        chunk_closed_count=report.chunks,
    )


async def _watch(batch_id: str) -> BatchProgress:
    async with open_settlement_store(await load_ready_settings()) as store:
        await store.batches.fetch_batch(batch_id)
        with settlement_progress_bar() as bar:
            return await follow_batch(store, batch_id, bar)


def settlement_progress_bar() -> Progress:
    """Return a bar that counts the orders that have an outcome."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[exceptions]} exceptions"),
        console=err,
    )


async def follow_batch(store: SettlementStore, batch_id: str, bar: Progress) -> BatchProgress:
    """Update the bar until the batch is in a final state, and return the last progress."""
    task_id = bar.add_task(batch_id, total=None, exceptions=0)
    while True:
        progress = await store.batches.fetch_progress(batch_id)
        answered = progress.settled + progress.rejected + progress.failed + progress.held
        is_planned = progress.chunk_count > 0
        bar.update(
            task_id,
            description=f"{batch_id} {progress.state}",
            completed=answered,
            total=progress.planned if is_planned else None,
            exceptions=progress.rejected + progress.failed + progress.held,
        )
        if progress.state in FINAL_STATES:
            return progress
        await asyncio.sleep(limits.WATCH_INTERVAL_S)


def _counts(progress: BatchProgress) -> str:
    return (
        f"{progress.planned:,} planned, {progress.settled:,} settled, {progress.rejected:,} rejected, "
        f"{progress.failed:,} failed, {progress.held:,} held"
    )
