"""The Order Center on PostgreSQL. What the methods guarantee stands in `order_center.port`."""

from collections.abc import Sequence
from datetime import datetime

from database.columns import integer_column, text_column
from database.pools import Pool, look_up_by_index
from database.queries import load_query
from database.rows import named_rows
from order_center.port import check_records
from schemas.order_life import OrderStanding
from schemas.orders import OrderRecord, OverdueCursor, OverdueOrder, TransactionRecord

_LOAD_RECORDS = load_query("order_center", "load_records")
_FETCH_OVERDUE_SLICE = load_query("order_center", "fetch_overdue_slice")
_ACKNOWLEDGE = load_query("order_center", "acknowledge")
_FETCH_RECORDS = load_query("order_center", "fetch_records")
_FETCH_ORDER = load_query("order_center", "fetch_order")


class PostgresOrderCenter:
    """Orders in a table, the unacknowledged ones also in a narrow list. A call does all or nothing."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def load_records(self, records: Sequence[OrderRecord]) -> None:
        """See `OrderCenter.load_records`."""
        check_records(records)
        if records:
            await self._pool.execute(_LOAD_RECORDS, *zip(*records, strict=True))

    async def fetch_overdue_slice(
        self, cutoff_at: datetime, after: OverdueCursor | None, order_count_max: int
    ) -> list[OverdueOrder]:
        """See `OrderCenter.fetch_overdue_slice`."""
        ends_at, order_id = after or (None, None)
        rows = await self._pool.fetch(_FETCH_OVERDUE_SLICE, cutoff_at, ends_at, order_id, order_count_max)
        return named_rows(OverdueOrder, rows)

    async def acknowledge(self, versions: Sequence[tuple[str, int]]) -> None:
        """See `OrderCenter.acknowledge`."""
        if versions:
            order_ids, read_versions = zip(*versions, strict=True)
            columns = text_column(order_ids), integer_column(read_versions)
            async with self._pool.acquire() as connection, connection.transaction():
                await look_up_by_index(connection)
                await connection.execute(_ACKNOWLEDGE, *columns)

    async def fetch_records(self, order_ids: Sequence[str]) -> list[TransactionRecord]:
        """See `OrderCenter.fetch_records`."""
        async with self._pool.acquire() as connection, connection.transaction():
            await look_up_by_index(connection)
            rows = await connection.fetch(_FETCH_RECORDS, text_column(order_ids))
        return named_rows(TransactionRecord, rows)

    async def fetch_order(self, order_id: str) -> OrderStanding | None:
        """See `OrderCenter.fetch_order`."""
        row = await self._pool.fetchrow(_FETCH_ORDER, order_id)
        return OrderStanding(**row) if row else None
