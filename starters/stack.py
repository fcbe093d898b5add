"""`settle stack up | down | status`: run the embedded stack in the background."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from runtime.stack_state import DEFAULT_STACK_DIR
from starters.console import JsonOption, fail

EXIT_PART_DOWN = 1
EXIT_STACK_FAILED = 3

app = typer.Typer(
    help="Run the embedded stack: Temporal, PostgreSQL and a Kafka broker, for development.", no_args_is_help=True
)


def _require_text(directory: Path) -> Path:
    try:
        str(directory).encode()
    except UnicodeEncodeError as error:
        raise typer.BadParameter(
            f"{typer.format_filename(directory)!r} is not UTF-8 text. PostgreSQL needs a folder with a UTF-8 path."
        ) from error
    return directory


Directory = Annotated[
    Path,
    typer.Option(
        "--dir",
        envvar="SETTLE_STACK_DIR",
        metavar="DIR",
        help="Folder of the stack's state, logs and addresses.",
        callback=_require_text,
    ),
]


@app.command()
def up(directory: Directory = DEFAULT_STACK_DIR) -> None:
    """Start the embedded stack and print its addresses.

    Servers that are already running are kept.
    """
    from local_stack import LocalStack

    with _told_in_a_sentence():
        state = LocalStack(directory).up()
    typer.echo(f"Web UI    {state.temporal_ui_url}")
    typer.echo(f"Temporal  {state.temporal_address}")
    typer.echo(f"Database  {state.database_url}")
    typer.echo(f"Kafka     {state.kafka_bootstrap_servers} (in memory: a restart empties it)")
    typer.echo(f"Logs      {directory / 'logs'}")


@app.command()
def down(directory: Directory = DEFAULT_STACK_DIR) -> None:
    """Stop the embedded stack.

    Temporal and PostgreSQL keep their state for the next start. The Kafka broker keeps nothing.
    """
    from local_stack import LocalStack

    with _told_in_a_sentence():
        stack = LocalStack(directory)
        was_running = any(part.running for part in stack.status())
        stack.down()
    typer.echo(f"The stack in {directory} is stopped." if was_running else f"No stack was running in {directory}.")


@app.command()
def status(
    directory: Directory = DEFAULT_STACK_DIR,
    as_json: JsonOption = False,
) -> None:
    """Show each part of the embedded stack.

    Exits with 1 unless all parts are running.
    """
    from local_stack import LocalStack

    with _told_in_a_sentence():
        parts = LocalStack(directory).status()
    all_run = all(part.running for part in parts)
    if as_json:
        rows = [
            {
                "name": part.name,
                "running": part.running,
                "address": part.address,
                "log_file": str(part.log_file),
            }
            for part in parts
        ]
        typer.echo(json.dumps({"running": all_run, "parts": rows}))
    else:
        for part in parts:
            typer.echo(f"{part.name:<11}{'running' if part.running else 'down':<9}{part.address or '-'}")
            typer.echo(f"{'':<20}log: {part.log_file}")
    raise typer.Exit(0 if all_run else EXIT_PART_DOWN)


@contextmanager
def _told_in_a_sentence() -> Iterator[None]:
    from local_stack import StackError

    try:
        yield
    except StackError as error:
        raise fail(str(error), EXIT_STACK_FAILED) from error
