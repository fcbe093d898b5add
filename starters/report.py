"""`settle report BATCH`: the reconciliation of one batch."""

from typing import Annotated

import typer
from rich.table import Table

from activities.reconciliation import reconcile_batch
from domain import limits
from runtime.adapters import open_fund_platform, open_settlement_store
from runtime.settings import Settings, load_settings
from schemas.batches import ReconciliationReport
from schemas.reasons import REASON_SENTENCES, ReasonCode
from starters.console import out, print_json, run_command

_ROWS = ("planned", "settled", "rejected", "failed", "held", "pending", "unconfirmed", "ledger")


def report(
    batch_id: Annotated[str, typer.Argument(metavar="BATCH", help="The batch's id; see: settle batches")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
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
    """Print the reconciliation as finance reads it: a row for each total, a pair of columns for each currency."""
    currencies = sorted({currency for row in _ROWS for currency in getattr(found, row).amount_minor})
    table = Table(title=f"{found.batch_id}: {found.state}", title_justify="left")
    table.add_column("")
    table.add_column("orders", justify="right")
    for currency in currencies:
        table.add_column(f"{currency} orders", justify="right")
        table.add_column(f"{currency} minor units", justify="right")
    for row in _ROWS:
        totals = getattr(found, row)
        cells = [
            f"{number:,}"
            for currency in currencies
            for number in (totals.order_count_by_currency.get(currency, 0), totals.amount_minor.get(currency, 0))
        ]
        table.add_row(row, f"{totals.order_count:,}", *cells, end_section=row in ("planned", "pending"))
    out.print(table)
    verdict = "balanced" if found.balanced else "OUT OF BALANCE"
    out.print(
        f"{verdict}: planned = settled + rejected + failed + held + pending, and ledger = settled + unconfirmed. "
        f"{found.chunks:,} chunks, {found.duplicates:,} duplicates, {found.conflicts:,} conflicts."
    )
    for reason, item_count in found.reasons.items():
        out.print(f"  {item_count:>9,}  {reason}: {REASON_SENTENCES[ReasonCode(reason)]}")
