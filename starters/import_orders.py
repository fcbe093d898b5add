"""`settle import`: an order file into the Order Center, and missing accounts into the Fund Platform."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from io import TextIOWrapper
from operator import itemgetter
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from pydantic import BaseModel, ConfigDict
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from domain import limits
from domain.control_totals import sum_totals, totals_of
from domain.errors import SettleError
from fund_platform.port import HOUSE_ACCOUNT_PREFIX, FundPlatform
from order_center.port import OrderCenter
from runtime.adapters import open_fund_platform, open_order_center
from schemas.batches import ControlTotals
from schemas.ledger import AccountOpening
from schemas.orders import OrderRecord, OrderStatus
from starters.console import EXIT_BAD_OUTCOME, JsonOption, err, fail, load_ready_settings, print_json, run_command

COLUMNS = OrderRecord._fields
STATUSES = frozenset(OrderStatus)
_AMOUNT = re.compile(rf"[0-9]{{1,{limits.AMOUNT_DIGIT_COUNT_MAX}}}")

OnProgress = Callable[[int], None]


class OrderFileError(SettleError):
    """The order file cannot be read, or is no order file."""


class BadRowError(SettleError):
    """A row of the order file cannot be loaded."""


class ImportResult(BaseModel):
    """What was imported: each order of the file as the Order Center will announce it."""

    model_config = ConfigDict(frozen=True)

    file: str
    orders: int
    announced: ControlTotals


class _Slice(NamedTuple):
    records: list[OrderRecord]
    read_bytes: int


async def import_file(
    path: Path, order_center: OrderCenter, fund_platform: FundPlatform, on_progress: OnProgress | None = None
) -> ImportResult:
    """Load an order file slice by slice: first the accounts of a slice that are missing, then its records.

    An account is opened in the currency of its first row. An existing record is replaced, a row that is the same
    as the stored record changes nothing, so importing a file twice is harmless. Of rows for the same order, the last
    one stays. Memory holds one slice.

    Args:
        path: a CSV file with the columns of `OrderRecord`, in any order; other columns are ignored.
        order_center: where the records go.
        fund_platform: where the accounts are opened.
        on_progress: told the number of bytes read so far, after each slice.

    Raises:
        OrderFileError: the file cannot be read, or a column is missing.
        BadRowError: a row cannot be loaded; the slices before it are.
    """
    order_count = 0
    announced = ControlTotals()
    try:
        for records, read_bytes in _read_slices(path):
            await fund_platform.open_accounts(_openings_of(records))
            await order_center.load_records(_last_of_each_order(records))
            order_count += len(records)
            announced = sum_totals((announced, _announced_totals(records)))
            if on_progress:
                on_progress(read_bytes)
    except BadRowError as error:
        raise BadRowError(
            f"{error} {order_count:,} orders before it are imported; correct the row and import the file again."
        ) from error
    return ImportResult(file=str(path), orders=order_count, announced=announced)


def import_orders(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.csv", help="The orders, as `settle sample` writes them.", exists=True, dir_okay=False
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Load orders into the Order Center and open missing accounts; an existing record is replaced."""
    columns = (TextColumn("Importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=as_json or not err.is_terminal) as progress:
        bar = progress.add_task("import", total=file.stat().st_size)
        result = run_command(_import(file, lambda read_bytes: progress.update(bar, completed=read_bytes)))
    if as_json:
        print_json(result)
    else:
        typer.echo(f"Imported {result.orders:,} orders from {file}.")


async def _import(path: Path, on_progress: OnProgress) -> ImportResult:
    settings = await load_ready_settings()
    async with open_order_center(settings) as order_center, open_fund_platform(settings) as fund_platform:
        try:
            return await import_file(path, order_center, fund_platform, on_progress)
        except BadRowError as error:
            raise fail(str(error), EXIT_BAD_OUTCOME) from error


def _read_slices(path: Path) -> Iterator[_Slice]:
    try:
        with path.open("rb") as binary, TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
            records: list[OrderRecord] = []
            for record in _read_records(path, text):
                records.append(record)
                if len(records) == limits.LOAD_ROW_COUNT:
                    yield _Slice(records, binary.tell())
                    records = []
            if records:
                yield _Slice(records, binary.tell())
    except OSError as error:
        raise OrderFileError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise OrderFileError(f"{path} cannot be read: it is not UTF-8 text.") from error


def _read_records(path: Path, lines: Iterable[str]) -> Iterator[OrderRecord]:
    rows = csv.reader(lines, strict=True)
    try:
        header = next(rows, [])
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            raise OrderFileError(f"{path} is no order file: its first line lacks the column {', '.join(missing)}.")
        pick = itemgetter(*(header.index(column) for column in COLUMNS))
        for row in rows:
            if row:
                _require_field_count(row, len(header))
                yield _record_of(*pick(row))
    except UnicodeDecodeError:
        raise
    except (ValueError, csv.Error) as error:
        raise BadRowError(f"{path}, line {rows.line_num}: {error}.") from error


def _require_field_count(row: Sequence[str], field_count: int) -> None:
    if len(row) != field_count:
        raise ValueError(f"it has {len(row)} fields, and the first line has {field_count}")


def _record_of(
    order_id: str,
    account_id: str,
    paid_minor: str,
    refunded_minor: str,
    currency: str,
    status: str,
    completed_at: str,
    after_sale_ends_at: str,
) -> OrderRecord:
    if currency not in limits.ORDER_AMOUNT_MINOR_MAX:
        known = ", ".join(limits.ORDER_AMOUNT_MINOR_MAX)
        raise ValueError(f"currency {currency!r} is not known; it can be {known}")
    if status not in STATUSES:
        raise ValueError(f"status {status!r} is not known; it can be {', '.join(OrderStatus)}")
    paid, refunded = _amount("paid_minor", paid_minor), _amount("refunded_minor", refunded_minor)
    if refunded > paid:
        raise ValueError(f"refunded_minor {refunded} is more than paid_minor {paid}")
    return OrderRecord(
        _identifier("order_id", order_id),
        _account_id(account_id),
        paid,
        refunded,
        currency,
        status,
        _moment("completed_at", completed_at),
        _moment("after_sale_ends_at", after_sale_ends_at),
    )


def _account_id(text: str) -> str:
    if text.startswith(HOUSE_ACCOUNT_PREFIX):
        raise ValueError(f"account_id {text[: limits.IDENTIFIER_LENGTH_MAX]!r} belongs to the house")
    return _identifier("account_id", text)


def _identifier(column: str, text: str) -> str:
    if not 0 < len(text) <= limits.IDENTIFIER_LENGTH_MAX or not text.isprintable() or text != text.strip():
        raise ValueError(
            f"{column} {text[: limits.IDENTIFIER_LENGTH_MAX]!r} is no identifier: it should have 1 to "
            f"{limits.IDENTIFIER_LENGTH_MAX} printable characters and no blank at either end"
        )
    return text


def _amount(column: str, text: str) -> int:
    if not _AMOUNT.fullmatch(text):
        raise ValueError(
            f"{column} {text[:40]!r} is no amount: it should be a whole number of minor units, zero or more, "
            f"of at most {limits.AMOUNT_DIGIT_COUNT_MAX} digits"
        )
    return int(text)


def _moment(column: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(
        f"{column} {text[:40]!r} is no date and time with a zone; it should look like 2026-11-22T00:00:00Z"
    )


def _openings_of(records: Iterable[OrderRecord]) -> list[AccountOpening]:
    currencies: dict[str, str] = {}
    for record in records:
        currencies.setdefault(record.account_id, record.currency)
    return [AccountOpening(account_id, currency) for account_id, currency in currencies.items()]


def _last_of_each_order(records: Iterable[OrderRecord]) -> list[OrderRecord]:
    return list({record.order_id: record for record in records}.values())


def _announced_totals(records: Iterable[OrderRecord]) -> ControlTotals:
    return totals_of((record.currency, 1, record.paid_minor - record.refunded_minor) for record in records)
