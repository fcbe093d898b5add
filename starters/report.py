"""`settle report BATCH`: show the balance check of one batch."""

from collections.abc import Mapping

import typer

from domain import limits
from runtime.adapters import open_fund_platform, open_settlement_store
from runtime.settings import Settings
from schemas.item_outcomes import PENDING
from schemas.wire.reasons import REASON_SENTENCES, Outcome, ReasonCode
from schemas.wire.reports import BatchReport, SinceClosing
from settling.reporting import fetch_report
from starters.console import (
    BatchArgument,
    JsonOption,
    counted,
    load_ready_settings,
    print_json,
    print_totals,
    run_command,
)

_TOTALS = ("planned", "settled", "rejected", "failed", "held", "pending", "unconfirmed", "ledger")
_TOTALS_SINCE = _TOTALS[1:]


def report(
    batch_id: BatchArgument,
    as_json: JsonOption = False,
) -> None:
    """Show the balance check of one batch: plan, items and ledger, in count and amount per currency.

    A closed batch's report was kept at its closing and never changes.
    What came since of its exception items is printed below it.
    """
    found = run_command(_report(batch_id))
    if as_json:
        print_json(found)
    else:
        print_report(found)


async def fetch_report_of(settings: Settings, batch_id: str) -> BatchReport:
    """Fetch one batch's report."""
    async with (
        open_settlement_store(settings, statement_timeout_s=limits.REPORT_STATEMENT_TIMEOUT_S) as store,
        open_fund_platform(settings, statement_timeout_s=limits.REPORT_STATEMENT_TIMEOUT_S) as fund_platform,
    ):
        return await fetch_report(store, fund_platform, batch_id)


async def _report(batch_id: str) -> BatchReport:
    return await fetch_report_of(await load_ready_settings(), batch_id)


def print_reasons(reasons: Mapping[str, int]) -> None:
    """Print how many items have each reason code, and the code's sentence."""
    for reason, item_count in reasons.items():
        typer.echo(f"{item_count:>9,}  {reason}: {REASON_SENTENCES[ReasonCode(reason)]}")


def exception_count_of(found: BatchReport) -> int:
    """Return how many of a batch's items need a person, or did at its closing."""
    return found.rejected.order_count + found.failed.order_count + found.held.order_count


def print_report(found: BatchReport) -> None:
    """Print the report and its verdict."""
    business_date = found.business_date or "not set until it is frozen"
    typer.echo(
        f"Batch {found.batch_id} is {found.state}; business date {business_date}, {counted(found.chunks, 'chunk')}"
    )
    if found.rerun_of:
        typer.echo(f"It reruns items of batch {found.rerun_of}")
    print_totals({name: getattr(found, name) for name in _TOTALS}, always=("planned", "settled", "ledger"))
    typer.echo(f"Duplicates: {found.duplicates:,}, conflicts: {found.conflicts:,}")
    print_reasons(found.reasons)
    verdict = "Balanced" if found.balanced else "OUT OF BALANCE"
    typer.echo(f"{verdict}: planned = settled + rejected + failed + held + pending; ledger = settled + unconfirmed")
    if found.since_closing:
        _print_since_closing(found, found.since_closing)


def _print_since_closing(found: BatchReport, since: SinceClosing) -> None:
    exception_count = exception_count_of(found)
    came_again_count = sum(getattr(since, name).order_count for name in (*Outcome, PENDING))
    if exception_count == 0:
        return
    when = "so far"
    if since.pruned_at:
        when = f"before its pruning began at {since.pruned_at:%Y-%m-%d %H:%M:%S} UTC"
    typer.echo(f"Exception items that came in again {when}: {came_again_count:,} of {exception_count:,}")
    if came_again_count == 0 and since.ledger == found.unconfirmed:
        return
    if since.rerun_batch_ids:
        typer.echo(f"It was rerun by {', '.join(since.rerun_batch_ids)}")
    print_totals({name: getattr(since, name) for name in _TOTALS_SINCE}, always=("settled", "ledger"))
    verdict = "Balanced" if since.balanced else "OUT OF BALANCE"
    typer.echo(f"{verdict}: ledger = settled + unconfirmed. These totals replace the report's unconfirmed.")
