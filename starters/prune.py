"""`settle prune`: move the items of batches past their retention out of the tables that settling works on."""

from contextlib import aclosing
from datetime import timedelta

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from domain import limits
from runtime.adapters import open_fund_platform, open_settlement_store
from schemas.batches import RetiredBatch
from settling.pruning import KeptBecause, prune_batches
from starters.console import counted, err, load_ready_settings, run_command
from starters.exit_codes import EXIT_BAD_OUTCOME


def prune() -> None:
    """Prune batches that were closed more than SETTLE_RETENTION_DAYS ago.

    Their items are moved out of the tables that settling works on.
    Audits and the guards against a second credit are not affected. Claims, plans and totals stay, and each item keeps
    its payload and outcome.
    The command can be killed and run again at any time. It exits with 1 if a batch is out of balance.
    """
    if run_command(_prune()):
        raise typer.Exit(EXIT_BAD_OUTCOME)


async def _prune() -> int:
    """Prune all batches that may be pruned, and return how many are out of balance."""
    settings = await load_ready_settings()
    retention = timedelta(days=settings.retention_days)
    item_count = out_of_balance_count = 0
    async with (
        open_settlement_store(settings, statement_timeout_s=limits.REPORT_STATEMENT_TIMEOUT_S) as store,
        open_fund_platform(settings, statement_timeout_s=limits.REPORT_STATEMENT_TIMEOUT_S) as fund_platform,
    ):
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
            bar = progress.add_task("")

            def advance(batch: RetiredBatch, pruned_count: int) -> None:
                progress.update(bar, description=batch.batch_id, total=batch.item_count, advance=pruned_count)

            async with aclosing(prune_batches(store, fund_platform, retention, advance)) as pruning:
                async for batch, kept_because in pruning:
                    typer.echo(_describe(batch, kept_because))
                    progress.reset(bar)
                    item_count += 0 if kept_because else batch.item_count
                    out_of_balance_count += kept_because == KeptBecause.OUT_OF_BALANCE
    days = counted(settings.retention_days, "day")
    typer.echo(f"Pruned {counted(item_count, 'item')} of batches closed more than {days} ago.")
    return out_of_balance_count


def _describe(batch: RetiredBatch, kept_because: KeptBecause | None) -> str:
    match kept_because:
        case None:
            return f"Batch {batch.batch_id}, closed {batch.closed_at:%Y-%m-%d}: {batch.item_count:,} items pruned."
        case KeptBecause.HELD:
            why = f"some are held and wait for a person ({batch.held_count:,}). Run: settle rerun {batch.batch_id}"
        case KeptBecause.RERUN_UNCLOSED:
            why = "a batch that reruns some of them is not closed yet."
        case KeptBecause.UNDELIVERED:
            why = "its results are not all delivered yet. Run: settle relay"
        case KeptBecause.OUT_OF_BALANCE:
            why = "it no longer balances. Run: settle audit"
        case KeptBecause.CAME_AGAIN:
            why = "the orders of some of them came in again and are pending in a later batch."
        case KeptBecause.CHANGED:
            why = "a rerun of it was just opened, or a result is not delivered yet. Run settle prune again later."
    return f"Batch {batch.batch_id} keeps its items: {why}"
