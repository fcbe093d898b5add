"""The Order Center on PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime

from database.access import Database
from database.columns import integer_column, integers_of, text_column, texts_of, times_of
from database.pools import Pool, look_up_by_index
from database.queries import load_query
from order_center.port import check_records
from schemas.order_life import CurrentRecord
from schemas.orders import (
    FetchedRecord,
    OrderRecord,
    OverdueCursor,
    OverdueOrder,
    OverdueSlice,
    RecordVersion,
)
from schemas.tables import Table, columns_of

_LOAD_RECORDS = load_query("order_center.postgres", "load_records")
_FETCH_OVERDUE_SLICE = load_query("order_center.postgres", "fetch_overdue_slice")
_ACKNOWLEDGE = load_query("order_center.postgres", "acknowledge")
_FETCH_RECORDS = load_query("order_center.postgres", "fetch_records")
_FETCH_ORDER = load_query("order_center.postgres", "fetch_order")


class PostgresOrderCenter:
    """Orders in a table, the unacknowledged ones also in a narrow list. Every call is atomic."""

    def __init__(self, pool: Pool) -> None:
        self._database = Database(pool, "The Order Center's database")

    async def load_records(self, records: Sequence[OrderRecord]) -> None:
        check_records(records)
        if records:
            async with self._database.autocommit() as connection:
                await connection.execute(_LOAD_RECORDS, *zip(*records, strict=True))

    async def fetch_overdue_slice(
        self, cutoff_at: datetime, after: OverdueCursor | None, order_count_max: int
    ) -> OverdueSlice:
        ends_at, order_id = after or (None, None)
        async with self._database.reading_by_index() as connection:
            [row] = await connection.fetch(_FETCH_OVERDUE_SLICE, cutoff_at, ends_at, order_id, order_count_max)
            order_ids, account_ids, amounts_minor, currencies, versions, last_ends_at, last_order_id = row
            columns = (
                texts_of(order_ids),
                texts_of(account_ids),
                integers_of(amounts_minor),
                texts_of(currencies),
                integers_of(versions),
            )
            end = OverdueCursor(last_ends_at, last_order_id) if last_order_id is not None else None
            return OverdueSlice(Table(OverdueOrder, columns), end)

    async def acknowledge(self, versions: Sequence[RecordVersion]) -> None:
        if versions:
            order_ids, read_versions = columns_of(RecordVersion, versions)
            columns = text_column(order_ids), integer_column(read_versions)
            async with self._database.transaction() as connection:
                await look_up_by_index(connection)
                await connection.execute(_ACKNOWLEDGE, *columns)

    async def fetch_records(self, order_ids: Sequence[str]) -> Sequence[FetchedRecord]:
        async with self._database.reading_by_index() as connection:
            [row] = await connection.fetch(_FETCH_RECORDS, text_column(order_ids))
            found_ids, account_ids, paid_minor, refunded_minor, currencies, statuses, after_sale_ends, versions = row
            columns = (
                texts_of(found_ids),
                texts_of(account_ids),
                integers_of(paid_minor),
                integers_of(refunded_minor),
                texts_of(currencies),
                texts_of(statuses),
                times_of(after_sale_ends),
                integers_of(versions),
            )
            return Table(FetchedRecord, columns)

    async def fetch_order(self, order_id: str) -> CurrentRecord | None:
        async with self._database.reading() as connection:
            row = await connection.fetchrow(_FETCH_ORDER, order_id)
            return CurrentRecord(**row) if row else None
