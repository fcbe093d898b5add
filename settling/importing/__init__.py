"""Importing an order file: records into the Order Center, missing accounts into the Fund Platform."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from domain.control_totals import sum_totals, totals_of
from domain.order_rules import due_minor_of
from fund_platform.port.accounts import Accounts
from order_center.port import OrderCenter
from schemas.ledger import AccountOpening
from schemas.orders import OrderRecord
from schemas.wire.totals import ControlTotals
from settling.importing.first_rows import open_first_rows
from settling.importing.order_file import OrderFile, OrderFileError
from settling.importing.rejected_file import RejectedFile, rejected_path_of

OnProgress = Callable[[int], None]
Publish = Callable[[Sequence[OrderRecord]], Awaitable[int]]


class ImportResult(BaseModel):
    """The result of an import.

    `orders` is the number of orders loaded. `announced` has their control totals, with the amounts that the Order
    Center will announce. `published` is the number of overdue orders that this import announced on Kafka, which is zero
    unless the caller asked for that.
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
    accounts: Accounts,
    on_progress: OnProgress | None = None,
    publish: Publish | None = None,
) -> ImportResult:
    """Load an order file slice by slice: write its bad rows, open missing accounts, then load the records.

    An account is opened in the currency of its first good row. A row replaces an existing record. If it equals the
    stored record, nothing changes, so importing a file twice is harmless. If several rows have the same order, the
    first good one is loaded, and rows that differ from it are bad rows. Memory holds one slice.

    Args:
        order_file: the orders.
        order_center: receives the records.
        accounts: opens missing accounts.
        on_progress: called after each slice with the number of bytes read so far.
        publish: announces the overdue records of a slice once they are loaded, and returns their number.

    Raises:
        OrderFileError: reading the file or writing its bad rows failed. The earlier slices are loaded.
        UnavailableError: the order ids cannot be stored in a temporary file.
    """
    order_count = published_count = 0
    announced = ControlTotals()
    rejected_file = RejectedFile(rejected_path_of(order_file.path))
    try:
        with open_first_rows() as first_rows:
            for part in order_file.read_slices():
                records, different_rows = first_rows.add(part)
                rejected_file.write(sorted(part.bad_rows + different_rows))
                await accounts.open_accounts(_openings_of(records))
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
            f"{error} {order_count:,} orders were already imported. Fix the problem and import the file again."
        ) from error
    return ImportResult(
        file=str(order_file),
        orders=order_count,
        announced=announced,
        published=published_count,
        bad_rows=rejected_file.row_count,
        rejected_file=str(rejected_file) if rejected_file.row_count else None,
    )


def _openings_of(records: Iterable[OrderRecord]) -> list[AccountOpening]:
    currencies: dict[str, str] = {}
    for record in records:
        currencies.setdefault(record.account_id, record.currency)
    return [AccountOpening(account_id, currency) for account_id, currency in currencies.items()]


def _announced_totals(records: Iterable[OrderRecord]) -> ControlTotals:
    return totals_of((record.currency, 1, due_minor_of(record.paid_minor, record.refunded_minor)) for record in records)
