"""Concurrent loads, reads and acknowledgements of the same orders leave them consistent."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from database.pools import Pool
from order_center.postgres import PostgresOrderCenter
from schemas.orders import OrderRecord, OrderStatus, RecordVersion

CUTOFF = datetime(2026, 11, 22, tzinfo=UTC)
ROUND_COUNT = 8


@pytest.fixture
def order_center(pools: dict[str, Pool]) -> PostgresOrderCenter:
    return PostgresOrderCenter(pools["order_center"])


def records_of(order_count: int, paid_minor: int) -> list[OrderRecord]:
    ends_at = CUTOFF - timedelta(days=1)
    return [
        OrderRecord(f"S1-{n:06d}", "A1", paid_minor, 0, "USD", OrderStatus.COMPLETED, ends_at, ends_at)
        for n in range(order_count)
    ]


async def test_loads_and_acknowledgements_of_the_same_orders_in_any_order_never_deadlock(
    order_center: PostgresOrderCenter,
) -> None:
    rng = random.Random(1)
    await order_center.load_records(records_of(3_000, 1))
    for round_no in range(ROUND_COUNT):
        offered = await order_center.fetch_overdue_slice(CUTOFF, None, 3_000)
        versions = [RecordVersion(order.order_id, order.version) for order in offered.orders]
        one, other = (records_of(3_000, paid_minor=round_no * 2 + side) for side in (2, 3))
        for rows in (versions, one, other):
            rng.shuffle(rows)
        await asyncio.gather(
            order_center.load_records(one),
            order_center.load_records(other),
            order_center.acknowledge(versions),
            order_center.acknowledge(versions[::-1]),
        )


async def test_an_offer_never_joins_one_records_payload_with_another_ones_version(
    order_center: PostgresOrderCenter,
) -> None:
    amount_by_version: dict[tuple[str, int], int] = {}

    async def change() -> None:
        """Change records until some versions were offered, however long an offer takes."""
        for paid_minor in count(1):
            await order_center.load_records(records_of(500, paid_minor))
            if paid_minor >= 40 and len(amount_by_version) > 2 * 500:
                return

    changing = asyncio.create_task(change())
    while not changing.done():
        for order in (await order_center.fetch_overdue_slice(CUTOFF, None, 500)).orders:
            known = amount_by_version.setdefault((order.order_id, order.version), order.amount_minor)
            assert known == order.amount_minor
    await changing


async def test_a_change_during_an_acknowledgement_is_still_offered(order_center: PostgresOrderCenter) -> None:
    await order_center.load_records(records_of(500, 1))
    for paid_minor in range(2, 12):
        offered = await order_center.fetch_overdue_slice(CUTOFF, None, 500)
        changing = asyncio.create_task(order_center.load_records(records_of(500, paid_minor)))
        while not changing.done():
            await order_center.acknowledge([RecordVersion(order.order_id, order.version) for order in offered.orders])
        await changing
        left = await order_center.fetch_overdue_slice(CUTOFF, None, 500)
        assert [order.amount_minor for order in left.orders] == [paid_minor] * 500
