"""`settle run`: open and start a batch of all orders that are overdue at the cutoff."""

from datetime import UTC, date, datetime
from typing import Annotated

import typer

from domain import limits
from domain.batch_openings import plan_manual_opening, required_cutoff
from runtime.adapters import open_order_center, open_settlement_store
from runtime.temporal import connect_temporal
from schemas.wire.batches import FINAL_STATES
from settling.opening import open_manual_batch
from starters.console import load_ready_settings, run_command
from starters.following import print_outcome, start_and_follow


def _business_date_of(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 (a date has no zone)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a date. Give a year, month and day, such as 2026-11-22.") from error


def run(
    business_date: Annotated[
        date | None,
        typer.Option(
            parser=_business_date_of,
            metavar="YYYY-MM-DD",
            help="Business date. Default: the latest with a past cutoff.",
        ),
    ] = None,
    batch_id: Annotated[str | None, typer.Option(help="Batch id. Default: made of business date and time.")] = None,
    chunk_size: Annotated[int | None, typer.Option(min=1, max=limits.CHUNK_SIZE_MAX, help="Orders per chunk.")] = None,
    window: Annotated[
        int | None, typer.Option(min=1, max=limits.WINDOW_MAX, help="Maximum number of chunks in flight.")
    ] = None,
    credits_per_s: Annotated[
        int | None, typer.Option(min=1, max=limits.CREDITS_PER_S_MAX, help="Maximum number of credits a second.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end. Exit with 1 if the outcome is bad.")] = False,
) -> None:
    """Open and start a batch of all orders that are overdue at the cutoff.

    If nothing is overdue, no batch is opened.
    If the batch id exists, the command joins that batch, which keeps its settings, and never opens a second one.
    """
    run_command(_run(business_date, batch_id, chunk_size, window, credits_per_s, wait=wait))


async def _run(
    business_date: date | None,
    batch_id: str | None,
    chunk_size: int | None,
    window: int | None,
    credits_per_s: int | None,
    *,
    wait: bool,
) -> None:
    settings = await load_ready_settings()
    opening = plan_manual_opening(
        settings.batch_settings, datetime.now(UTC), business_date, batch_id, chunk_size, window, credits_per_s
    )
    cutoff_at = required_cutoff(opening)
    client = await connect_temporal(settings)
    async with open_order_center(settings) as order_center, open_settlement_store(settings) as store:
        opened, known = await open_manual_batch(order_center, store, opening)
    if opened is None:
        typer.echo(f"Nothing is overdue at {_utc(cutoff_at)}; no batch was opened.")
        return
    if known and known.state in FINAL_STATES:
        typer.echo(f"Batch {known.batch_id} already exists and is {known.state}; nothing was started.")
        if wait:
            await print_outcome(settings, known.batch_id)
        return
    if known:
        typer.echo(f"Batch {known.batch_id} already exists and is {known.state}; it keeps its settings.")
    else:
        typer.echo(f"Batch {opened.batch_id} settles the orders that are overdue at {_utc(cutoff_at)}.")
    await start_and_follow(settings, client, opened, wait=wait)


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
