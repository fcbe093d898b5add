"""`settle prune`: move the items of batches that are past their retention out of the tables that settling works on."""

from datetime import UTC, datetime, timedelta

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from domain import limits
from fund_platform.port import FundPlatform
from runtime.adapters import open_fund_platform, open_settlement_store
from schemas.batches import RetiredBatch
from settlement_store.port import SettlementStore
from settling.balancing import reconcile_batch
from starters.console import EXIT_BAD_OUTCOME, err, load_ready_settings, run_command


def prune() -> None:
    """Prune the closed batches that are older than SETTLE_RETENTION_DAYS; may be ended and run again at any time.

    Audit and exactly-once go on as before: claims, plans and totals stay, and each item keeps its payload and outcome.
    """
    if run_command(_prune()):
        raise typer.Exit(EXIT_BAD_OUTCOME)


async def _prune() -> int:
    """Prune all that may be pruned; how many batches are not in balance."""
    settings = await load_ready_settings()
    closed_before = datetime.now(UTC) - timedelta(days=settings.retention_days)
    out_of_balance_count = item_count = 0
    last: RetiredBatch | None = None
    async with (
        open_settlement_store(settings, statement_timeout_s=limits.REPORT_STATEMENT_TIMEOUT_S) as store,
        open_fund_platform(settings, statement_timeout_s=limits.REPORT_STATEMENT_TIMEOUT_S) as fund_platform,
    ):
        while batches := await store.pruning.fetch_retired_batches(closed_before, last, limits.PRUNE_SLICE_BATCH_COUNT):
            for batch in batches:
                reason = _why_not(batch) or await _begin(store, fund_platform, batch)
                if reason:
                    typer.echo(f"Batch {batch.batch_id} keeps its items: {reason}")
                    out_of_balance_count += reason == _OUT_OF_BALANCE
                    continue
                await _prune_batch(store, batch)
                item_count += batch.item_count
            last = batches[-1]
    typer.echo(f"Pruned {item_count:,} items of batches closed before {closed_before:%Y-%m-%d %H:%M:%S} UTC.")
    return out_of_balance_count


_OUT_OF_BALANCE = "its reconciliation does not balance; see: settle report, settle audit"


def _why_not(batch: RetiredBatch) -> str | None:
    if batch.held_count:
        return f"{batch.held_count:,} of them are held and wait for a person; see: settle rerun {batch.batch_id}"
    if batch.unclosed_rerun_count:
        return "a batch that reruns some of them is not closed yet."
    if batch.undelivered_count:
        return "its results are not delivered yet; run: settle relay"
    return None


async def _begin(store: SettlementStore, fund_platform: FundPlatform, batch: RetiredBatch) -> str | None:
    """Keep the batch's report, if it balances; why not, otherwise."""
    report = await reconcile_batch(store, fund_platform, batch.batch_id)
    if not report.balanced:
        return _OUT_OF_BALANCE
    if not await store.pruning.keep_report(report):
        return "a batch that reruns some of them was opened just now."
    return None


async def _prune_batch(store: SettlementStore, batch: RetiredBatch) -> None:
    columns = (TextColumn(batch.batch_id), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task("prune", total=batch.item_count)
        while pruned_count := await store.pruning.prune_chunks(batch.batch_id):
            progress.advance(bar, pruned_count)
    typer.echo(f"Batch {batch.batch_id}, closed {batch.closed_at:%Y-%m-%d}: {batch.item_count:,} items pruned.")
