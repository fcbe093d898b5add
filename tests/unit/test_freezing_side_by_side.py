"""Slices that are frozen concurrently, in any interleaving and with failures, skip no order."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest

from domain import limits
from domain.errors import UnavailableError
from order_center.port import OrderCenter
from schemas.orders import OrderRecord, OrderStatus, OverdueCursor
from schemas.wire.batches import BatchOpening, BatchSource, BatchState
from settling.freezing import freeze_overdue_orders
from settling.systems import Systems
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.doubles.order_center import MemoryOrderCenter
from tests.doubles.settlement_store import MemorySettlementStore
from tests.support.settlements import CALENDAR, Port, owner_of, replaced

CUTOFF_AT = datetime(2026, 11, 22, tzinfo=UTC)
ORDER_COUNT = 50
SLICE_SIZE = 6
FAILURE_RATE = 0.15
ATTEMPT_COUNT_MAX = 200


def whimsical(port: Port, rng: Random, *methods: str) -> Port:
    """Return the port with methods that take some turns of the loop and may fail, before or after their effect."""

    async def pass_or_fail() -> None:
        for _ in range(rng.randrange(6)):
            await asyncio.sleep(0)
        if rng.random() < FAILURE_RATE / 2:
            raise UnavailableError("The network said no.")

    def around(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any) -> Any:
            await pass_or_fail()
            answer = await original(*arguments)
            await pass_or_fail()
            return answer

        return call

    for method in methods:
        port = replaced(port, method, around(getattr(owner_of(port, method), method)))
    return port


async def offered_by(order_center: OrderCenter) -> set[str]:
    return {order.order_id for order in (await order_center.fetch_overdue_slice(CUTOFF_AT, None, ORDER_COUNT)).orders}


@pytest.mark.parametrize("seed", range(60))
async def test_what_a_cursor_covers_is_durable_and_acknowledged_and_no_order_is_left_out(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FREEZE_SLICE_ORDER_COUNT", SLICE_SIZE)
    rng = Random(seed)
    order_center, store = MemoryOrderCenter(), MemorySettlementStore()
    read_and_acknowledge = whimsical(order_center, rng, "fetch_overdue_slice", "acknowledge")
    append = whimsical(store, rng, "append_orders")
    ends_at = {f"order-{n:02d}": CUTOFF_AT - timedelta(days=rng.randrange(1, 9)) for n in range(ORDER_COUNT)}
    await order_center.load_records(
        [OrderRecord(each, "a", 100, 0, "USD", OrderStatus.COMPLETED, end, end) for each, end in ends_at.items()]
    )
    systems = Systems(read_and_acknowledge, append, MemoryFundPlatform())
    opening = BatchOpening(
        batch_id="B1",
        source=BatchSource.MANUAL,
        business_date=date(2026, 11, 21),
        cutoff_at=CUTOFF_AT,
        chunk_size=10,
        window=1,
    )
    told: list[OverdueCursor] = []
    for _ in range(ATTEMPT_COUNT_MAX):
        after = told[-1] if told else None
        try:
            await freeze_overdue_orders(systems, opening, CALENDAR, after, told.append)
            break
        except UnavailableError:
            assert asyncio.all_tasks() == {asyncio.current_task()}  # nothing continues after the attempt
            covered = {each for each, end in ends_at.items() if told and (end, each) <= told[-1]}
            assert not covered & await offered_by(order_center)
    assert await offered_by(order_center) == set()
    assert told == sorted(told)
    batch = await store.batches.fetch_batch("B1")
    assert batch.state == BatchState.FROZEN
    assert batch.item_count == ORDER_COUNT
