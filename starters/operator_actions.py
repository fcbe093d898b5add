"""`settle pause | resume | abort BATCH`, `settle window BATCH N`: operator control of a batch."""

import getpass
import os
import socket
from typing import Annotated, NamedTuple

import typer

from domain import limits
from domain.batch_control import plan_control
from domain.batch_openings import stored_opening
from runtime.adapters import open_settlement_store
from runtime.temporal import connect_temporal
from schemas.wire.control import BatchControl, ControlAction, ControlRequest
from starters.console import BatchArgument, load_ready_settings, run_command
from workflows.batch_client import ask_batch_workflow, start_batch_workflow

ReasonOption = Annotated[str | None, typer.Option(help="Reason, stored with the action and shown by: settle status")]


class _Change(NamedTuple):
    """A batch's control before an action and after it."""

    before: BatchControl
    after: BatchControl

    @property
    def again(self) -> str:
        """Return the word to insert into a sentence about what held before the action."""
        return "already " if self.before.action_no == self.after.action_no else ""


def pause(batch_id: BatchArgument, reason: ReasonOption = None) -> None:
    """Pause a batch: chunks in flight finish, and no more are started.

    Nothing is lost. Continue with: settle resume BATCH
    """
    change = run_command(_ask(_request_of(batch_id, ControlAction.PAUSE, reason)))
    typer.echo(
        f"Batch {batch_id} is {change.again}paused: chunks in flight finish, and no more are started. "
        f"Resume it with: settle resume {batch_id}"
    )


def resume(batch_id: BatchArgument, reason: ReasonOption = None) -> None:
    """Resume a paused batch, or start the workflow of a batch that has none.

    Resuming lifts the batch's thresholds: it continues however many orders are rejected or fail.
    """
    change = run_command(_ask(_request_of(batch_id, ControlAction.RESUME, reason)))
    if change.again:
        typer.echo(f"Batch {batch_id} was not paused; its workflow is running.")
    else:
        typer.echo(
            f"Batch {batch_id} continues, however many orders are rejected or fail. "
            f"Watch it with: settle watch {batch_id}"
        )


def abort(batch_id: BatchArgument, reason: ReasonOption = None) -> None:
    """Abort a batch: chunks in flight finish, all other items are held, and the batch ends as aborted.

    This cannot be undone. Settle the held items later with: settle rerun BATCH
    """
    change = run_command(_ask(_request_of(batch_id, ControlAction.ABORT, reason)))
    typer.echo(
        f"Batch {batch_id} is {change.again}being aborted: chunks in flight finish, and all other items are held. "
        f"When it has ended, settle the held items with: settle rerun {batch_id}"
    )


def window(
    batch_id: BatchArgument,
    count: Annotated[
        int, typer.Argument(metavar="N", min=1, max=limits.WINDOW_MAX, help="Maximum number of chunks in flight.")
    ],
    reason: ReasonOption = None,
) -> None:
    """Set how many chunks a batch may have in flight from now on."""
    change = run_command(_ask(_request_of(batch_id, ControlAction.WINDOW, reason, window=count)))
    typer.echo(f"Batch {batch_id} {change.again}has up to {count} chunks in flight.")


def _request_of(batch_id: str, action: ControlAction, reason: str | None, window: int | None = None) -> ControlRequest:
    return ControlRequest(batch_id=batch_id, action=action, requested_by=_person(), reason=reason, window=window)


def _person() -> str:
    """Return the caller's operating-system user name and host name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


async def _ask(request: ControlRequest) -> _Change:
    settings = await load_ready_settings()
    client = await connect_temporal(settings)
    async with open_settlement_store(settings) as store:
        batch = await store.batches.fetch_batch(request.batch_id)
        before = await store.control.fetch_control(request.batch_id)
        planned = plan_control(batch.state, before, request)
        if request.action == ControlAction.RESUME and planned == before:
            await start_batch_workflow(client, settings.task_queue, stored_opening(batch))
            return _Change(before, before)
        return _Change(before, await ask_batch_workflow(client, settings.task_queue, store, batch, request))
