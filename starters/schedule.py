"""`settle schedule apply | show | trigger | delete`: manage the daily schedule."""

from datetime import datetime
from zoneinfo import ZoneInfo

import typer
from temporalio.client import Client

from domain import limits
from domain.identifiers import daily_schedule_id
from runtime.settings import Settings
from runtime.temporal import connect_temporal
from starters import daily_schedule
from starters.console import JsonOption, load_ready_settings, print_json, run_command
from starters.daily_schedule import DailySchedule
from starters.following import workflow_url

app = typer.Typer(help="Manage the daily schedule, which starts a batch a day.", no_args_is_help=True)


@app.command()
def apply() -> None:
    """Create the daily schedule, or bring it up to date with the settings.

    A pause that was made in the web UI is kept.
    """
    run_command(_apply())


@app.command()
def show(*, as_json: JsonOption = False) -> None:
    """Show the daily schedule and its next runs, each with the business date and cutoff of its batch."""
    run_command(_show(as_json=as_json))


@app.command()
def trigger() -> None:
    """Start a run now, even if the schedule is paused.

    Its batch has the latest business date whose cutoff has passed.
    """
    run_command(_trigger())


@app.command()
def delete() -> None:
    """Delete the daily schedule.

    Batches that it has started continue.
    """
    run_command(_delete())


async def _connect() -> tuple[Settings, Client]:
    settings = await load_ready_settings()
    return settings, await connect_temporal(settings)


async def _apply() -> None:
    settings, client = await _connect()
    today = datetime.now(ZoneInfo(settings.cutoff_timezone)).date()
    is_new = await daily_schedule.apply_schedule(client, settings, today)
    schedule = await daily_schedule.fetch_schedule(client, settings)
    typer.echo(f"Schedule {schedule.schedule_id} is {'created' if is_new else 'up to date'}.")
    _print(schedule, settings)


async def _show(*, as_json: bool) -> None:
    settings, client = await _connect()
    schedule = await daily_schedule.fetch_schedule(client, settings)
    if as_json:
        print_json(schedule)
    else:
        _print(schedule, settings)


async def _trigger() -> None:
    settings, client = await _connect()
    batch_id = await daily_schedule.trigger_schedule(client, settings)
    if batch_id is None:
        typer.echo("A run was requested, but Temporal has not reported its batch yet. Look for it with: settle batches")
        return
    typer.echo(f"Batch {batch_id} is started. A worker opens it.")
    typer.echo(f"Watch it with: settle watch {batch_id}")
    if settings.temporal_ui_url:
        typer.echo(f"In the web UI: {workflow_url(settings, client, batch_id)}")


async def _delete() -> None:
    settings, client = await _connect()
    await daily_schedule.delete_schedule(client, settings)
    typer.echo(
        f"Schedule {daily_schedule_id(settings.task_queue)} is deleted and starts no more runs. "
        "The batches that it has started continue. List them with: settle batches"
    )


def _print(schedule: DailySchedule, settings: Settings) -> None:
    when = f"every day at {schedule.run_time_local}" if schedule.run_time_local else "at custom times in"
    typer.echo(
        f"{schedule.schedule_id} fires {when} {schedule.time_zone}. A run that an outage prevents starts "
        f"late, up to {limits.SCHEDULE_CATCHUP_WINDOW_S // 3600} h after its time. No run waits for the one before."
    )
    if schedule.is_paused:
        note = f" ({schedule.note})" if schedule.note else ""
        typer.echo(f"It is PAUSED{note}: none of the runs below starts until it is unpaused in the web UI.")
    if (schedule.run_time_local, schedule.time_zone) != (settings.schedule_time_local, settings.cutoff_timezone):
        typer.echo(
            f"The settings here say {settings.schedule_time_local} {settings.cutoff_timezone}. "
            "To change the schedule, run: settle schedule apply"
        )
    typer.echo("Its next runs:")
    for fire in schedule.next_fires:
        typer.echo(
            f"  {fire.fires_at_local.isoformat(sep=' ')} ({fire.fires_at:%Y-%m-%d %H:%M:%S} UTC): "
            f"business date {fire.business_date}, cutoff {fire.cutoff_at:%Y-%m-%d %H:%M:%S} UTC"
        )
