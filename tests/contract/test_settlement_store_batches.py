"""The contract of the settlement store's port for batches as a whole."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from itertools import pairwise

import pytest

from domain.errors import (
    BatchNotFoundError,
    BatchNotOpenError,
    InvariantViolationError,
    UnavailableError,
)
from schemas.chunks import Chunk, ChunkState
from schemas.wire.batches import BatchSource, BatchState
from schemas.wire.control import BatchControl, ControlAction, ControlRequest
from schemas.wire.isolation import ItemRange
from schemas.wire.totals import ControlTotals
from settlement_store.port import SettlementStore
from tests.contract.settlement_batches import (
    CUTOFF,
    ORDER_IDS,
    close_batch,
    everything_of,
    opening_of,
    order_of,
    orders_of,
    rejected,
    report_of_nothing,
    run_batch,
    settle,
)
from tests.support.settlements import CALENDAR

NEEDS_A_BATCH: dict[str, Callable[[SettlementStore], Awaitable[object]]] = {
    "append_orders": lambda store: store.filling.append_orders("none", orders_of("O1")),
    "freeze_batch": lambda store: store.filling.freeze_batch("none", CALENDAR),
    "set_running": lambda store: store.batches.set_running("none"),
    "fetch_chunk": lambda store: store.chunks.fetch_chunk("none", 0),
    "fetch_pending_items": lambda store: store.chunks.fetch_pending_items("none", ItemRange(0, 1)),
    "store_validation": lambda store: store.chunks.store_validation("none", 0, []),
    "store_outcomes": lambda store: store.chunks.store_outcomes("none", 0, []),
    "hold_chunk": lambda store: store.chunks.hold_chunk("none", 0, "why"),
    "fetch_chunk_totals": lambda store: store.chunks.fetch_chunk_totals("none", 0),
    "fetch_item_groups": lambda store: store.chunks.fetch_item_groups("none", 0, 1),
    "close_batch": lambda store: store.batches.close_batch(report_of_nothing("none")),
    "fetch_batch": lambda store: store.batches.fetch_batch("none"),
    "fetch_planned_totals": lambda store: store.batches.fetch_planned_totals("none"),
    "fetch_reason_counts": lambda store: store.batches.fetch_reason_counts("none"),
    "fetch_progress": lambda store: store.batches.fetch_progress("none"),
    "fetch_later_item_groups": lambda store: store.reports.fetch_later_item_groups("none", -1, 10),
}


@pytest.mark.parametrize("call", NEEDS_A_BATCH.values(), ids=NEEDS_A_BATCH)
async def test_an_unknown_batch_is_told(
    store: SettlementStore, call: Callable[[SettlementStore], Awaitable[object]]
) -> None:
    with pytest.raises(BatchNotFoundError):
        await call(store)


@pytest.mark.parametrize("chunk_index", [-1, 2])
async def test_an_unknown_chunk_is_told(store: SettlementStore, chunk_index: int) -> None:
    await run_batch(store, orders_of(*ORDER_IDS))
    for call in (store.chunks.fetch_chunk, store.chunks.fetch_chunk_totals):
        with pytest.raises(BatchNotFoundError):
            await call("B1", chunk_index)
    for step in (store.chunks.store_validation, store.chunks.store_outcomes):
        with pytest.raises(BatchNotFoundError):
            await step("B1", chunk_index, [])
    with pytest.raises(BatchNotFoundError):
        await store.chunks.hold_chunk("B1", chunk_index, "why")


class TestFreezingAndStarting:
    async def test_the_plan_is_what_was_appended(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of())
        orders = [order_of("O1"), order_of("O2", currency="EUR", amount_minor=0), order_of("O3", amount_minor=-7)]
        expected = ControlTotals(
            order_count=3, order_count_by_currency={"EUR": 1, "USD": 2}, amount_minor={"EUR": 0, "USD": 93}
        )
        assert await store.batches.fetch_planned_totals("B1") == ControlTotals()
        await store.filling.append_orders("B1", orders[:1])
        await store.filling.append_orders("B1", orders)
        assert await store.batches.fetch_planned_totals("B1") == expected
        await store.filling.freeze_batch("B1", CALENDAR)
        assert await store.batches.fetch_planned_totals("B1") == expected
        assert (await store.batches.set_running("B1")).planned == expected

    async def test_chunks_cover_the_batch(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*map(str, range(7))))
        assert [await store.chunks.fetch_chunk("B1", chunk_index) for chunk_index in range(3)] == [
            Chunk(0, 0, 3, ChunkState.PLANNED, CUTOFF, BatchSource.MANUAL),
            Chunk(1, 3, 6, ChunkState.PLANNED, CUTOFF, BatchSource.MANUAL),
            Chunk(2, 6, 7, ChunkState.PLANNED, CUTOFF, BatchSource.MANUAL),
        ]
        with pytest.raises(BatchNotFoundError):
            await store.chunks.fetch_chunk("B1", 3)

    async def test_freezing_and_starting_again_change_nothing(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        await store.chunks.store_validation("B1", 0, [rejected(0)])
        before = await everything_of(store, "B1")
        await store.filling.freeze_batch("B1", CALENDAR)
        plan = await store.batches.set_running("B1")
        assert plan.model_dump(exclude={"planned"}) == {
            "state": BatchState.RUNNING,
            "chunk_count": 2,
            "chunk_size": 3,
            "window": 2,
            "business_date": date(2026, 11, 22),
            "control": BatchControl(window=2).model_dump(),
        }
        assert await everything_of(store, "B1") == before

    async def test_freezing_and_starting_at_once_happen_once(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of())
        await store.filling.append_orders("B1", orders_of(*ORDER_IDS))
        await asyncio.gather(*(store.filling.freeze_batch("B1", CALENDAR) for _ in range(4)))
        plans = await asyncio.gather(*(store.batches.set_running("B1") for _ in range(4)))
        assert plans == [plans[0]] * 4
        assert plans[0].chunk_count == 2

    async def test_an_open_batch_does_not_start(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of())
        with pytest.raises(BatchNotOpenError):
            await store.batches.set_running("B1")
        assert (await store.batches.fetch_batch("B1")).state == BatchState.OPEN

    async def test_a_batch_of_nothing_runs_and_closes(self, store: SettlementStore) -> None:
        await run_batch(store, [])
        with pytest.raises(BatchNotFoundError):
            await store.chunks.fetch_chunk("B1", 0)
        assert (await close_batch(store, "B1")).state == BatchState.CLOSED

    async def test_each_state_is_stamped_once_and_in_order(self, store: SettlementStore) -> None:
        await settle(store, ["O1"], "B1")
        batch = await close_batch(store, "B1")
        stamps = [batch.opened_at, batch.frozen_at, batch.started_at, batch.closed_at]
        assert all(earlier and later and earlier <= later for earlier, later in pairwise(stamps))


class TestClosing:
    @pytest.mark.parametrize("balanced", [True, False])
    async def test_a_settled_batch_gets_a_final_state_once(self, store: SettlementStore, balanced: bool) -> None:
        await settle(store, ORDER_IDS, "B1")
        batch = await close_batch(store, "B1", balanced=balanced)
        assert batch.state == (BatchState.CLOSED if balanced else BatchState.OUT_OF_BALANCE)
        assert await close_batch(store, "B1", balanced=not balanced) == batch

    async def test_a_batch_with_an_unclosed_chunk_stays_running(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        await store.chunks.hold_chunk("B1", 0, "why")
        await store.chunks.store_validation("B1", 1, [])
        with pytest.raises(InvariantViolationError, match="is not closed"):
            await store.batches.close_batch(report_of_nothing("B1"))
        assert (await store.batches.fetch_batch("B1")).state == BatchState.RUNNING

    async def test_a_batch_that_does_not_run_is_not_closed(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of())
        with pytest.raises(InvariantViolationError, match="is not closed"):
            await store.batches.close_batch(report_of_nothing("B1"))
        await store.filling.freeze_batch("B1", CALENDAR)
        with pytest.raises(InvariantViolationError, match="is not closed"):
            await store.batches.close_batch(report_of_nothing("B1"))
        assert (await store.batches.fetch_batch("B1")).state == BatchState.FROZEN

    async def test_a_paused_batch_is_not_closed_until_it_is_resumed(self, store: SettlementStore) -> None:
        await settle(store, ORDER_IDS, "B1")
        for action in (ControlAction.PAUSE, ControlAction.RESUME):
            await store.control.control_batch(
                ControlRequest(batch_id="B1", action=action, requested_by="ann", reason="why")
            )
            if action == ControlAction.PAUSE:
                with pytest.raises(UnavailableError, match="B1 cannot be closed while it is paused"):
                    await store.batches.close_batch(report_of_nothing("B1"))
                assert (await store.batches.fetch_batch("B1")).state == BatchState.PAUSED
        assert (await close_batch(store, "B1")).state == BatchState.CLOSED

    async def test_a_final_batch_stays_final(self, store: SettlementStore) -> None:
        await settle(store, ORDER_IDS, "B1")
        await close_batch(store, "B1")
        before = await everything_of(store, "B1")
        await store.filling.freeze_batch("B1", CALENDAR)
        assert (await store.batches.set_running("B1")).state == BatchState.CLOSED
        assert await everything_of(store, "B1") == before
