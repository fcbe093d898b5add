"""Slices that are frozen side by side, in any interleaving and with failures on the way, skip no order."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from activities.freezing import freeze_overdue_orders
from domain import limits
from domain.errors import UnavailableError
from order_center.memory import MemoryOrderCenter
from schemas.batches import AppendResult, BatchOpening, BatchSource, BatchState, OfferedOrder
from schemas.orders import OrderRecord, OrderStatus, OverdueCursor, OverdueOrder
from settlement_store.memory import MemorySettlementStore
from tests.settlements import CALENDAR

CUTOFF_AT = datetime(2026, 11, 22, tzinfo=UTC)
ORDER_COUNT = 50
SLICE_SIZE = 6
FAILURE_RATE = 0.15
ATTEMPT_COUNT_MAX = 200


class Whims:
    """Lets a call take some turns of the loop, and sometimes fail, before or after its effect."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    async def strike(self) -> None:
        for _ in range(self._rng.randrange(6)):
            await asyncio.sleep(0)
        if self._rng.random() < FAILURE_RATE / 2:
            raise UnavailableError("The network said no.")


class WhimsicalOrderCenter(MemoryOrderCenter):
    """An Order Center with whims."""

    def __init__(self, whims: Whims) -> None:
        super().__init__()
        self._whims = whims

    async def fetch_overdue_slice(
        self, cutoff_at: datetime, after: OverdueCursor | None, order_count_max: int
    ) -> list[OverdueOrder]:
        await self._whims.strike()
        return await super().fetch_overdue_slice(cutoff_at, after, order_count_max)

    async def acknowledge(self, versions: Sequence[tuple[str, int]]) -> None:
        await self._whims.strike()
        await super().acknowledge(versions)
        await self._whims.strike()

    async def offered(self) -> set[str]:
        return {order.order_id for order in await super().fetch_overdue_slice(CUTOFF_AT, None, ORDER_COUNT)}


class WhimsicalStore(MemorySettlementStore):
    """A store with whims."""

    def __init__(self, whims: Whims) -> None:
        super().__init__()
        self._whims = whims

    async def append_orders(self, batch_id: str, orders: Sequence[OfferedOrder]) -> AppendResult:
        await self._whims.strike()
        result = await super().append_orders(batch_id, orders)
        await self._whims.strike()
        return result


@pytest.mark.parametrize("seed", range(60))
async def test_what_a_cursor_covers_is_durable_and_acknowledged_and_no_order_is_left_out(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FREEZE_SLICE_ORDER_COUNT", SLICE_SIZE)
    rng = Random(seed)
    order_center, store = WhimsicalOrderCenter(Whims(rng)), WhimsicalStore(Whims(rng))
    ends_at = {f"order-{n:02d}": CUTOFF_AT - timedelta(days=rng.randrange(1, 9)) for n in range(ORDER_COUNT)}
    await order_center.load_records(
        [OrderRecord(each, "a", 100, 0, "USD", OrderStatus.COMPLETED, end, end) for each, end in ends_at.items()]
    )
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
            await freeze_overdue_orders(order_center, store, opening, CALENDAR, after, told.append)
            break
        except UnavailableError:
            covered = {each for each, end in ends_at.items() if told and (end, each) <= told[-1]}
            assert not covered & await order_center.offered()
    assert await order_center.offered() == set()
    assert told == sorted(told)
    batch = await store.fetch_batch("B1")
    assert batch.state == BatchState.FROZEN
    assert batch.item_count == ORDER_COUNT
