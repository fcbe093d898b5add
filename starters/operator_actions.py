"""`settle pause | resume | abort BATCH`, `settle window BATCH N`: an operator's hand on a batch."""

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

ReasonOption = Annotated[str | None, typer.Option(help="Why; it is kept, and shown by: settle status")]


class _Change(NamedTuple):
    """What held before an action, and what holds after it."""

    before: BatchControl
    after: BatchControl

    @property
    def again(self) -> str:
        """What to add to a sentence about what held already."""
        return " already" if self.before.action_no == self.after.action_no else ""


def pause(batch_id: BatchArgument, reason: ReasonOption = None) -> None:
    """Pause a batch: no more chunks are started; those in flight finish. Nothing is lost."""
    change = run_command(_ask(_request_of(batch_id, ControlAction.PAUSE, reason)))
    typer.echo(
        f"Batch {batch_id} is paused{change.again}: what is in flight finishes, and no more is started. "
        f"Go on with: settle resume {batch_id}"
    )


def resume(batch_id: BatchArgument, reason: ReasonOption = None) -> None:
    """Go on with a paused batch, or start one again that no workflow runs. Its thresholds are lifted."""
    change = run_command(_ask(_request_of(batch_id, ControlAction.RESUME, reason)))
    if change.again:
        typer.echo(f"Batch {batch_id} was not paused; its workflow runs.")
    else:
        typer.echo(f"Batch {batch_id} goes on, whatever is rejected or fails. Follow it with: settle watch {batch_id}")


def abort(batch_id: BatchArgument, reason: ReasonOption = None) -> None:
    """Give a batch up: what is in flight finishes, the rest is held, the batch is closed. Cannot be taken back.

    What is held can be settled later: settle rerun BATCH.
    """
    change = run_command(_ask(_request_of(batch_id, ControlAction.ABORT, reason)))
    typer.echo(
        f"Batch {batch_id} is being aborted{change.again}: what is in flight finishes, the rest is held, and the batch "
        f"is closed. Once it is, settle the rest with: settle rerun {batch_id}"
    )


def window(
    batch_id: BatchArgument,
    count: Annotated[int, typer.Argument(metavar="N", min=1, max=limits.WINDOW_MAX, help="Chunks at a time.")],
    reason: ReasonOption = None,
) -> None:
    """Let a batch have N chunks in flight from now on."""
    change = run_command(_ask(_request_of(batch_id, ControlAction.WINDOW, reason, window=count)))
    typer.echo(f"Batch {batch_id} has up to {count} chunks in flight{change.again}.")


def _request_of(batch_id: str, action: ControlAction, reason: str | None, window: int | None = None) -> ControlRequest:
    return ControlRequest(batch_id=batch_id, action=action, requested_by=_person(), reason=reason, window=window)


def _person() -> str:
    """Who calls, as far as the operating system knows."""
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
