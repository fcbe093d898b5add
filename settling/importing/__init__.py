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
    accounts: Accounts,
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
        accounts: where missing ones are opened.
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


def _openings_of(records: Iterable[OrderRecord]) -> list[AccountOpening]:
    currencies: dict[str, str] = {}
    for record in records:
        currencies.setdefault(record.account_id, record.currency)
    return [AccountOpening(account_id, currency) for account_id, currency in currencies.items()]


def _announced_totals(records: Iterable[OrderRecord]) -> ControlTotals:
    return totals_of((record.currency, 1, due_minor_of(record.paid_minor, record.refunded_minor)) for record in records)
