"""`settle rerun BATCH`: settle exception items of an earlier batch in a new one ("data repair")."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from domain.batch_openings import plan_rerun_opening
from runtime.adapters import open_settlement_store
from runtime.temporal import connect_temporal
from schemas.wire.batches import FINAL_STATES, RerunSelection
from schemas.wire.reasons import Outcome, ReasonCode
from settlement_store.port.filling import batch_pruned
from settling.reporting import fetch_kept_report
from settling.rerunning import SelectedCounts, count_selected
from starters.console import BatchArgument, load_ready_settings, run_command
from starters.following import start_and_follow

EXCEPTION_OUTCOMES = (Outcome.FAILED, Outcome.REJECTED, Outcome.HELD)


def _outcomes_of(text: str) -> tuple[Outcome, ...]:
    outcomes = tuple(word.strip() for word in text.split(","))
    if not set(outcomes) <= set(EXCEPTION_OUTCOMES):
        raise typer.BadParameter(
            f"{text!r} is not valid. Give one or more of {', '.join(EXCEPTION_OUTCOMES)}, separated by commas.",
            param_hint="'--outcome'",
        )
    return tuple(outcome for outcome in EXCEPTION_OUTCOMES if outcome in outcomes)


def _reason_of(text: str) -> ReasonCode:
    try:
        return ReasonCode(text.upper())
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a reason code. See the batch's reason codes with: settle report BATCH"
        ) from error


def rerun(
    batch_id: BatchArgument,
    outcomes: Annotated[
        str, typer.Option("--outcome", metavar="OUTCOMES", help="Rerun only items with these outcomes.")
    ] = ",".join(EXCEPTION_OUTCOMES),
    reason: Annotated[
        ReasonCode | None,
        typer.Option(parser=_reason_of, metavar="CODE", help="Rerun only items with this reason code."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end. Exit with 1 if the outcome is bad.")] = False,
) -> None:
    """Settle a batch's rejected, failed and held items again, in a new batch.

    Repair the cause first. If there is nothing to rerun, no batch is opened.
    Rejected and failed orders, and held ones that were not attempted, are read and validated again.
    A held order whose credit may exist is not validated: its credit is requested again under the same key.
    """
    selection = RerunSelection(batch_id=batch_id, outcomes=_outcomes_of(outcomes), reason_code=reason)
    run_command(_rerun(selection, wait=wait))


async def _rerun(selection: RerunSelection, *, wait: bool) -> None:
    settings = await load_ready_settings()
    client = await connect_temporal(settings)
    async with open_settlement_store(settings) as store:
        batch = await store.batches.fetch_batch(selection.batch_id)
        kept = await fetch_kept_report(store, batch.batch_id)
        if kept and kept.is_being_pruned:
            raise batch_pruned(batch.batch_id)
        found = await count_selected(store.filling, selection)
        if not found.latest_count:
            typer.echo(f"Batch {batch.batch_id} has no {_named(selection)} to rerun; no batch was opened.")
            _print_overtaken(found)
            return
        opening = plan_rerun_opening(settings.batch_settings, datetime.now(UTC), selection)
        await store.filling.open_batch(opening)
    typer.echo(f"Batch {opening.batch_id} reruns {found.latest_count:,} {_named(selection)} of batch {batch.batch_id}.")
    _print_overtaken(found)
    if batch.state not in FINAL_STATES:
        typer.echo(
            f"Batch {batch.batch_id} is {batch.state}: what it rejects, fails or holds later needs another rerun."
        )
    await start_and_follow(settings, client, opening, wait=wait)


def _named(selection: RerunSelection) -> str:
    *others, last = selection.outcomes
    outcomes = f"{', '.join(others)} or {last}" if others else last
    return f"{outcomes} items" + (f" with reason {selection.reason_code}" if selection.reason_code else "")


def _print_overtaken(found: SelectedCounts) -> None:
    if found.overtaken_count:
        typer.echo(
            f"Not rerun, since they came in again in a later batch: {found.overtaken_count:,}. See: settle order"
        )
