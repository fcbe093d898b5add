"""`make incident` slows the reading of orders with PostgreSQL alone. Settle's statements stay unchanged."""

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from database.columns import text_column
from database.pools import Pool
from order_center.postgres import PostgresOrderCenter
from starters.sample_orders import plan_sample_orders
from tests.support.plans import executed_nodes

SLOW_ORDERS = Path("bench/incident/sql/slow_orders.sql").read_text()
RECORDS = [order.record for order in plan_sample_orders(50, 0, "O-", random.Random(1))]
IDS = [record.order_id for record in RECORDS]
CUTOFF = datetime(2100, 1, 1, tzinfo=UTC)
SLEEP_S = 1.0  # no other node takes this long


@pytest.fixture
async def pool(pools: dict[str, Pool]) -> Pool:
    """A pool for the Order Center with orders that are slow to read."""
    pool = pools["order_center"]
    await PostgresOrderCenter(pool).load_records(RECORDS)
    await pool.execute(SLOW_ORDERS)
    await pool.execute("INSERT INTO incident.slowness VALUES ('infinity', $1)", SLEEP_S)
    return pool


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("fetch_records", (text_column(IDS),)),
        ("fetch_order", (IDS[0],)),
        ("fetch_overdue_slice", (CUTOFF, None, None, 50)),
    ],
)
async def test_a_statement_sleeps_once_however_many_orders_it_reads(
    name: str, arguments: tuple[object, ...], pool: Pool
) -> None:
    async with pool.acquire() as connection:
        nodes = await executed_nodes(connection, "order_center.postgres", name, arguments, is_timed=True)
    slept = [node for node in nodes if node["Actual Total Time"] >= SLEEP_S * 1000 and "Plans" not in node]
    assert [node["Actual Loops"] for node in slept] == [1]


async def test_the_order_center_reads_as_before(pool: Pool) -> None:
    order_center = PostgresOrderCenter(pool)
    assert sorted(record.order_id for record in await order_center.fetch_records(IDS)) == sorted(IDS)
    assert len((await order_center.fetch_overdue_slice(CUTOFF, None, 100)).orders) == len(IDS)


async def test_nothing_sleeps_once_the_time_is_over(pool: Pool) -> None:
    await pool.execute("UPDATE incident.slowness SET slow_until = now(), sleep_s = 1000")
    await PostgresOrderCenter(pool).fetch_records(IDS)
