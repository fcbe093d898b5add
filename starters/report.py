"""`settle report BATCH`: the balance check of one batch."""

from collections.abc import Mapping

import typer

from domain import limits
from runtime.adapters import open_fund_platform, open_settlement_store
from runtime.settings import Settings
from schemas.batches import BatchReport
from schemas.reasons import REASON_SENTENCES, ReasonCode
from settling.balancing import check_balance
from starters.console import BatchArgument, JsonOption, load_ready_settings, print_json, print_totals, run_command

_TOTALS = ("planned", "settled", "rejected", "failed", "held", "pending", "unconfirmed", "ledger")


def report(
    batch_id: BatchArgument,
    as_json: JsonOption = False,
) -> None:
    """Check the balance of one batch: stored plan, items and ledger, in count and amount per currency."""
    found = run_command(_report(batch_id))
    if as_json:
        print_json(found)
    else:
        print_report(found)


async def fetch_report(settings: Settings, batch_id: str) -> BatchReport:
    """Read one batch and check its balance."""
    async with (
        open_settlement_store(settings, statement_timeout_s=limits.REPORT_STATEMENT_TIMEOUT_S) as store,
        open_fund_platform(settings, statement_timeout_s=limits.REPORT_STATEMENT_TIMEOUT_S) as fund_platform,
    ):
        return await check_balance(store, fund_platform, batch_id)


async def _report(batch_id: str) -> BatchReport:
    return await fetch_report(await load_ready_settings(), batch_id)


def print_reasons(reasons: Mapping[str, int]) -> None:
    """Print how many items have each reason code, and what it means."""
    for reason, item_count in reasons.items():
        typer.echo(f"{item_count:>9,}  {reason}: {REASON_SENTENCES[ReasonCode(reason)]}")


def print_report(found: BatchReport) -> None:
    """Print the report and its verdict."""
    business_date = found.business_date or "comes with its freezing"
    typer.echo(f"Batch {found.batch_id} is {found.state}; business date {business_date}, {found.chunks:,} chunks")
    if found.rerun_of:
        typer.echo(f"It reruns items of batch {found.rerun_of}")
    print_totals({name: getattr(found, name) for name in _TOTALS}, always=("planned", "settled", "ledger"))
    typer.echo(f"Duplicates: {found.duplicates:,}, conflicts: {found.conflicts:,}")
    print_reasons(found.reasons)
    verdict = "Balanced" if found.balanced else "OUT OF BALANCE"
    typer.echo(f"{verdict}: planned = settled + rejected + failed + held + pending; ledger = settled + unconfirmed")
