"""Batches in no final state, on PostgreSQL: what is asked of them by the sweep and by intake."""

from datetime import timedelta

from database.pools import Pool
from database.queries import load_query
from domain import limits
from schemas.batches import UnclosedBatch
from settlement_store.postgres.batch_rows import batch_of

_FETCH_UNCLOSED_BATCHES = load_query("settlement_store.postgres", "fetch_unclosed_batches")
_FETCH_BACKLOG_ORDER_COUNT = load_query("settlement_store.postgres", "fetch_backlog_order_count")


class PostgresUnclosedBatches:
    """The part of `SettlementStore` that looks at the batches in no final state; see the port."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def fetch_unclosed_batches(self) -> list[UnclosedBatch]:
        """See the port."""
        rows = await self._pool.fetch(_FETCH_UNCLOSED_BATCHES, limits.UNCLOSED_BATCH_COUNT_MAX)
        return [UnclosedBatch(batch_of(row), row["age_s"], row["action_no"]) for row in rows]

    async def fetch_backlog_order_count(self, active_within_s: float) -> int:
        """See the port."""
        return int(await self._pool.fetchval(_FETCH_BACKLOG_ORDER_COUNT, timedelta(seconds=active_within_s)))
