"""`settle import`: load an order file into the Order Center, and open missing accounts in the Fund Platform."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from domain import limits
from messaging.announcing import announce, plan_events
from runtime.adapters import open_fund_platform, open_order_center
from runtime.kafka import open_producer, require_topics
from runtime.settings import Settings
from schemas.orders import OrderRecord
from settling.importing import ImportResult, Publish, import_file
from settling.importing.order_file import open_order_file
from starters.console import JsonOption, counted, err, fail, load_ready_settings, print_json, run_command
from starters.exit_codes import EXIT_BAD_OUTCOME

_NAMED_COLUMN_COUNT = 10


def import_orders(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.csv", help="Order file, in the format that settle sample writes.")
    ],
    publish: Annotated[bool, typer.Option("--publish", help="Announce the overdue orders on Kafka.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Load an order file into the Order Center, and open missing accounts in the Fund Platform.

    An existing record of an order is replaced.
    If there are bad rows, they are written to FILE.rejected.csv with the reason, the others are loaded, and the exit
    code is 1.
    """
    result = run_command(_import(file, publishes=publish, shows_progress=err.is_terminal and not as_json))
    if as_json:
        print_json(result)
    else:
        typer.echo(f"Imported {counted(result.orders, 'order')} from {result.file}.")
    if publish and not as_json:
        typer.echo(f"Announced {result.published:,} overdue orders on Kafka.")
    if result.bad_rows:
        raise fail(
            f"Bad rows in {result.file}: {result.bad_rows:,}; orders imported: {result.orders:,}. "
            f"{result.rejected_file} has each bad row with its line and the reason. Correct and import them again.",
            EXIT_BAD_OUTCOME,
        )


async def _import(path: Path, *, publishes: bool, shows_progress: bool) -> ImportResult:
    with open_order_file(path) as order_file:
        if order_file.unused_columns:
            typer.echo(
                f"settle: {order_file} has columns that are not used: {_named(order_file.unused_columns)}.", err=True
            )
        settings = await load_ready_settings()
        bar = Progress(
            *(TextColumn("Importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn()),
            console=err,
            transient=True,
            disable=not shows_progress,
        )
        task = bar.add_task("import", total=order_file.size_bytes)
        async with (
            _open_publish(settings, wanted=publishes) as publish,
            open_order_center(settings) as order_center,
            open_fund_platform(settings) as fund_platform,
        ):
            with bar:
                return await import_file(
                    order_file,
                    order_center,
                    fund_platform.accounts,
                    lambda read_bytes: bar.update(task, completed=read_bytes),
                    publish,
                )


@asynccontextmanager
async def _open_publish(settings: Settings, *, wanted: bool) -> AsyncIterator[Publish | None]:
    if not wanted:
        yield None
        return
    await require_topics(settings)
    overdue_at = datetime.now(UTC)
    async with open_producer(settings, idempotent=False) as producer:

        async def publish(records: Sequence[OrderRecord]) -> int:
            events = plan_events(records, overdue_at)
            await announce(producer, settings.topics.overdue, events)
            return len(events)

        yield publish


def _named(columns: list[str]) -> str:
    more = f" and {len(columns) - _NAMED_COLUMN_COUNT:,} more" if len(columns) > _NAMED_COLUMN_COUNT else ""
    return ", ".join(repr(column[: limits.IDENTIFIER_LENGTH_MAX]) for column in columns[:_NAMED_COLUMN_COUNT]) + more
