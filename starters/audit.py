"""`settle audit`: check every order against the ledger, and each system against itself."""

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from domain import limits
from runtime.adapters import open_fund_platform, open_settlement_store
from schemas.audit import AuditReport
from settling.audit_tally import TOTALS
from settling.auditing import audit
from starters.console import JsonOption, counted, err, load_ready_settings, print_json, print_totals, run_command
from starters.exit_codes import EXIT_BAD_OUTCOME


def audit_command(
    as_json: JsonOption = False,
) -> None:
    """Check every order against the ledger, and each system against itself.

    Prints the breaks that it finds, at most 1,000, and exits with 1 if there is any.
    """
    report = run_command(_audit())
    if as_json:
        print_json(report)
    else:
        _print_audit(report)
    if not report.ok:
        raise typer.Exit(EXIT_BAD_OUTCOME)


async def _audit() -> AuditReport:
    settings = await load_ready_settings()
    async with (
        open_settlement_store(settings, statement_timeout_s=limits.REPORT_STATEMENT_TIMEOUT_S) as store,
        open_fund_platform(settings, statement_timeout_s=limits.REPORT_STATEMENT_TIMEOUT_S) as fund_platform,
    ):
        item_count = (await store.audit.fetch_offer_counts()).item_count
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
            # Some orders have several items, so the audit may end before the bar is full.
            bar = progress.add_task("orders", total=item_count)
            return await audit(store, fund_platform, on_slice=lambda order_count: progress.advance(bar, order_count))


def _print_audit(report: AuditReport) -> None:
    """Print the audit's totals and a line for each break."""
    typer.echo(f"Audit of {counted(report.orders, 'order')}, each counted once by its latest item")
    print_totals({name: getattr(report, name) for name in TOTALS}, always=("settled", "ledger"))
    pending = (
        f"; the oldest batch with pending orders was opened at {report.oldest_pending_at}"
        if report.oldest_pending_at
        else ""
    )
    typer.echo(f"{counted(report.duplicates, 'duplicate')}, {counted(report.conflicts, 'conflict')}{pending}.")
    for part in report.not_looked_at:
        typer.echo(f"Not checked: {part}.")
    typer.echo("clean: no breaks" if report.ok else f"NOT CLEAN, breaks: {len(report.breaks):,}")
    for each in report.breaks:
        typer.echo(f"  {each.kind} {each.id}: {each.detail}")
