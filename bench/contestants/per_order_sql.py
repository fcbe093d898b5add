"""One transaction per order on 8 connections, like the thread pool of the incident, but with one statement each."""

import asyncio
import time
from pathlib import Path

import asyncpg

from domain import limits

CONNECTION_COUNT = 8

_SQL = Path(__file__).with_name("per_order.sql").read_text()
_OPEN_BATCH = """
INSERT INTO settlement.batches (batch_id, source, state, business_date, cutoff_at, chunk_size, window_size)
VALUES ('per-order', 'manual', 'running', current_date, now(), 1, 1)
RETURNING batch_no
"""
_LIST = "SELECT order_id, currency FROM order_center.unacknowledged_orders JOIN order_center.orders USING (order_id)"


def run_per_order_sql(database_url: str) -> float:
    """Settle all overdue orders. Return the seconds that it took, without the reading of their ids."""
    return asyncio.run(_run(database_url))


async def _run(database_url: str) -> float:
    async with asyncpg.create_pool(database_url, min_size=CONNECTION_COUNT, max_size=CONNECTION_COUNT) as pool:
        batch_no = await pool.fetchval(_OPEN_BATCH)
        numbered = enumerate(await pool.fetch(_LIST))

        async def settle_some() -> None:
            async with pool.acquire() as connection:
                for item_no, (order_id, currency) in numbered:
                    amount_minor_max = limits.ORDER_AMOUNT_MINOR_MAX.get(currency, 0)
                    await connection.execute(_SQL, order_id, batch_no, item_no, amount_minor_max)

        started_s = time.perf_counter()
        await asyncio.gather(*(settle_some() for _ in range(CONNECTION_COUNT)))
        return time.perf_counter() - started_s
