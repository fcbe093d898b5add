"""`settle report BATCH`: the reconciliation of one batch."""


import typer
from rich.table import Column, Table

from activities.reconciliation import reconcile_batch
from domain import limits
from runtime.adapters import open_fund_platform, open_settlement_store
from runtime.settings import Settings, load_settings
from schemas.batches import ReconciliationReport
from schemas.reasons import REASON_SENTENCES, ReasonCode
from starters.console import BatchArgument, JsonOption, out, print_json, run_command

_TOTALS = ("planned", "settled", "rejected", "failed", "held", "pending", "unconfirmed", "ledger")
_ALWAYS_SHOWN = {"planned", "settled", "ledger"}


def report(
    batch_id: BatchArgument,
    as_json: JsonOption = False,
) -> None:
    """Reconcile one batch: stored plan, items and ledger, in count and amount per currency."""
    found = run_command(_report(batch_id))
    if as_json:
        print_json(found)
    else:
        print_report(found)


async def fetch_report(settings: Settings, batch_id: str) -> ReconciliationReport:
    """Read and reconcile one batch."""
    async with (
        open_settlement_store(settings, statement_timeout_s=limits.REPORT_STATEMENT_TIMEOUT_S) as store,
        open_fund_platform(settings, statement_timeout_s=limits.REPORT_STATEMENT_TIMEOUT_S) as fund_platform,
    ):
        return await reconcile_batch(store, fund_platform, batch_id)


async def _report(batch_id: str) -> ReconciliationReport:
    return await fetch_report(load_settings(), batch_id)


def print_report(found: ReconciliationReport) -> None:
    """Print the reconciliation as finance reads it: what is zero throughout is named in a line, not in columns."""
    totals = {name: getattr(found, name) for name in _TOTALS}
    shown = {name: total for name, total in totals.items() if total.order_count or name in _ALWAYS_SHOWN}
    currencies = sorted({currency for total in totals.values() for currency in total.order_count_by_currency})
    typer.echo(f"Batch {found.batch_id} is {found.state}; business date {found.business_date}, {found.chunks:,} chunks")
    counts = Table("orders", *(Column(name, justify="right") for name in shown))
    amounts = Table("minor units", *(Column(name, justify="right") for name in shown))
    for currency in currencies:
        counts.add_row(currency, *(f"{t.order_count_by_currency.get(currency, 0):,}" for t in shown.values()))
        amounts.add_row(currency, *(f"{t.amount_minor.get(currency, 0):,}" for t in shown.values()))
    counts.add_section()
    counts.add_row("all", *(f"{total.order_count:,}" for total in shown.values()))
    out.print(counts)
    out.print(amounts)
    zeros = [name for name in totals if name not in shown]
    if zeros:
        typer.echo(f"Zero: {', '.join(zeros)}")
    typer.echo(f"Duplicates: {found.duplicates:,}, conflicts: {found.conflicts:,}")
    for reason, item_count in found.reasons.items():
        typer.echo(f"{item_count:>9,}  {reason}: {REASON_SENTENCES[ReasonCode(reason)]}")
    verdict = "Balanced" if found.balanced else "OUT OF BALANCE"
    typer.echo(f"{verdict}: planned = settled + rejected + failed + held + pending; ledger = settled + unconfirmed")
