"""`settle import`: an order file into the Order Center, and missing accounts into the Fund Platform."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from domain import limits
from domain.control_totals import sum_totals, totals_of
from fund_platform.port import FundPlatform
from messaging.announcing import announce, plan_events
from order_center.port import OrderCenter
from runtime.adapters import open_fund_platform, open_order_center
from runtime.kafka import open_producer, require_topics
from runtime.settings import Settings
from schemas.batches import ControlTotals
from schemas.ledger import AccountOpening
from schemas.orders import OrderRecord
from starters.console import EXIT_BAD_OUTCOME, JsonOption, err, fail, load_ready_settings, print_json, run_command
from starters.first_rows import open_first_rows
from starters.order_file import OrderFile, OrderFileError, open_order_file
from starters.rejected_file import RejectedFile, rejected_path_of

OnProgress = Callable[[int], None]
Publish = Callable[[Sequence[OrderRecord]], Awaitable[int]]

_NAMED_COLUMN_COUNT = 10


class ImportResult(BaseModel):
    """What was imported: each order of the file as the Order Center will announce it; and where the bad rows are.

    `published` are the orders announced on Kafka: those that are overdue, if it was asked for.
    """

    model_config = ConfigDict(frozen=True)

    file: str
    orders: int
    announced: ControlTotals
    published: int
    bad_rows: int
    rejected_file: str | None


async def import_file(
    order_file: OrderFile,
    order_center: OrderCenter,
    fund_platform: FundPlatform,
    on_progress: OnProgress | None = None,
    publish: Publish | None = None,
) -> ImportResult:
    """Load an order file slice by slice: its bad rows beside it, then missing accounts, then the records.

    An account is opened in the currency of its first good row. An existing record is replaced, a row that is the
    same as the stored record changes nothing, so importing a file twice is harmless. Of rows for the same order the
    first good one is loaded; another one is a bad row, unless it is the same. Memory holds one slice.

    Args:
        order_file: the orders.
        order_center: where the records go.
        fund_platform: where the accounts are opened.
        on_progress: told the number of bytes read so far, after each slice.
        publish: announces those of a slice's records that are overdue, once they are loaded; tells how many these are.

    Raises:
        OrderFileError: the file cannot be read further, or its bad rows cannot be written; the slices before are
            loaded.
        UnavailableError: the order ids cannot be kept in a temporary file.
    """
    order_count = published_count = 0
    announced = ControlTotals()
    rejected_file = RejectedFile(rejected_path_of(order_file.path))
    try:
        with open_first_rows() as first_rows:
            for part in order_file.read_slices():
                records, different_rows = first_rows.add(part)
                rejected_file.write(sorted(part.bad_rows + different_rows))
                await fund_platform.accounts.open_accounts(_openings_of(records))
                await order_center.load_records(records)
                if publish:
                    published_count += await publish(records)
                order_count += len(records)
                announced = sum_totals((announced, _announced_totals(records)))
                if on_progress:
                    on_progress(part.read_bytes)
        rejected_file.remove_earlier()
    except OrderFileError as error:
        raise OrderFileError(
            f"{error} {order_count:,} orders are imported so far; put this right and import the file again."
        ) from error
    return ImportResult(
        file=str(order_file),
        orders=order_count,
        announced=announced,
        published=published_count,
        bad_rows=rejected_file.row_count,
        rejected_file=str(rejected_file) if rejected_file.row_count else None,
    )


def import_orders(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="The orders, as `settle sample` writes them.")],
    publish: Annotated[bool, typer.Option("--publish", help="Announce the overdue ones on Kafka.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Load orders into the Order Center and open missing accounts; an existing record is replaced."""
    result = run_command(_import(file, publishes=publish, shows_progress=err.is_terminal and not as_json))
    if as_json:
        print_json(result)
    else:
        typer.echo(f"Imported {result.orders:,} orders from {result.file}.")
    if publish and not as_json:
        typer.echo(f"Announced the overdue ones: {result.published:,} orders.")
    if result.bad_rows:
        raise fail(
            f"Bad rows in {result.file}: {result.bad_rows:,}, beside {result.orders:,} orders that were imported. "
            f"{result.rejected_file} has each with its line and the reason; correct them and import them again.",
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
                    fund_platform,
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


def _openings_of(records: Iterable[OrderRecord]) -> list[AccountOpening]:
    currencies: dict[str, str] = {}
    for record in records:
        currencies.setdefault(record.account_id, record.currency)
    return [AccountOpening(account_id, currency) for account_id, currency in currencies.items()]


def _announced_totals(records: Iterable[OrderRecord]) -> ControlTotals:
    return totals_of((record.currency, 1, record.paid_minor - record.refunded_minor) for record in records)
