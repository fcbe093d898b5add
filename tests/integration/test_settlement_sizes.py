"""Whole batches of every size around a chunk's have exact totals, chunk counts and audits on real servers."""

from contextlib import AsyncExitStack

import pytest
from temporalio.client import Client

from database.pools import open_pool
from fund_platform.postgres import PostgresFundPlatform
from order_center.postgres import PostgresOrderCenter
from runtime.stack_state import StackState
from settlement_store.postgres import PostgresSettlementStore
from settling.systems import Systems
from tests.support.databases import cloned_database
from tests.support.settlements import opening_of, require_clean, require_settled, running_worker, seed_orders, settle

# A pairwise sample of sizes relative to the chunk, chunk sizes and windows. Chunks of one order stay few, because a
# child workflow costs 50 ms.
SIZES = [
    (0, 1, 8),
    (0, 2_500, 1),
    (1, 1, 1),
    (1, 7, 3),
    (1, 2_500, 8),
    (2, 1, 3),
    (6, 7, 1),
    (7, 7, 8),
    (8, 7, 200),
    (30, 1, 8),
    (99, 100, 3),
    (100, 100, 1),
    (101, 100, 3),
    (2_499, 2_500, 200),
    (2_500, 2_500, 3),
    (2_501, 2_500, 1),
    (12_345, 700, 8),
    (12_345, 2_500, 3),
    (12_345, 10_000, 1),
]


async def settle_and_check(
    client: Client, systems: Systems, batch_id: str, order_count: int, chunk_size: int, window: int
) -> None:
    orders = await seed_orders(systems, order_count, seed=order_count + chunk_size)
    opening = opening_of(batch_id, chunk_size=chunk_size, window=window)
    async with running_worker(client, batch_id, systems):
        _, result = await settle(client, batch_id, opening)
    await require_settled(systems, result, opening, orders)
    audited = await require_clean(systems, order_count)
    assert (audited.settled, audited.rejected) == (orders.settled, orders.rejected)
    assert audited.ledger == orders.settled


@pytest.mark.parametrize(("order_count", "chunk_size", "window"), SIZES)
async def test_every_order_of_a_batch_of_any_size_ends_as_it_must(
    client: Client, systems: Systems, batch_id: str, order_count: int, chunk_size: int, window: int
) -> None:
    await settle_and_check(client, systems, batch_id, order_count, chunk_size, window)


async def test_a_batch_settles_with_all_three_systems_in_one_database(
    client: Client, stack: StackState, batch_id: str
) -> None:
    async with AsyncExitStack() as opened:
        url = opened.enter_context(cloned_database(stack.database_url, "template_all"))
        order_center, fund_platform, store = [
            await opened.enter_async_context(await open_pool(url, schema=schema, application_name="tests"))
            for schema in ("order_center", "fund_platform", "settlement")
        ]
        systems = Systems(
            PostgresOrderCenter(order_center), PostgresSettlementStore(store), PostgresFundPlatform(fund_platform)
        )
        await settle_and_check(client, systems, batch_id, order_count=500, chunk_size=100, window=3)
