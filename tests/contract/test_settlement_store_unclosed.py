"""The contract of the settlement store's port for batches in no final state and their remaining work."""

import asyncio
import time

import pytest

from domain import limits
from schemas.wire.batches import BatchSource, BatchState
from settlement_store.port import SettlementStore
from tests.contract.settlement_batches import (
    ORDER_IDS,
    close_batch,
    failed,
    held,
    opening_of,
    orders_of,
    rejected,
    run_batch,
    settle,
)
from tests.support.settlements import CALENDAR, eventually

HOUR_S = 3600.0
STUCK_S = 2.0


class TestUnclosedBatches:
    async def test_those_in_no_final_state_come_oldest_first_as_they_are_stored(self, store: SettlementStore) -> None:
        await settle(store, ["O1"], "B4")
        await close_batch(store, "B4")
        await settle(store, ["O2"], "B2")
        await close_batch(store, "B2", balanced=False)
        await store.filling.open_batch(opening_of("B3", source=BatchSource.KAFKA, business_date=None, cutoff_at=None))
        await run_batch(store, orders_of("O3"), batch_id="B5")
        await store.filling.open_batch(opening_of("B1"))
        await store.filling.freeze_batch("B1", CALENDAR)

        unclosed = await store.batches.fetch_unclosed_batches()
        assert [each.batch for each in unclosed] == [
            await store.batches.fetch_batch(each) for each in ("B3", "B5", "B1")
        ]
        states = [each.batch.state for each in unclosed]
        assert states == [BatchState.OPEN, BatchState.RUNNING, BatchState.FROZEN]

    async def test_the_age_runs_from_the_opening(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of())

        async def has_an_age() -> float | None:
            [unclosed] = await store.batches.fetch_unclosed_batches()
            return unclosed.age_s if unclosed.age_s >= 0.1 else None

        age_s = await eventually(has_an_age)
        await store.filling.freeze_batch("B1", CALENDAR)
        await store.batches.set_running("B1")
        [unclosed] = await store.batches.fetch_unclosed_batches()
        assert age_s < unclosed.age_s < HOUR_S

    async def test_no_more_than_the_bound_are_read(
        self, store: SettlementStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for batch_id in ("B1", "B2", "B3"):
            await store.filling.open_batch(opening_of(batch_id))
        monkeypatch.setattr(limits, "UNCLOSED_BATCH_COUNT_MAX", 2)
        assert [each.batch.batch_id for each in await store.batches.fetch_unclosed_batches()] == ["B1", "B2"]


class TestKafkaBatches:
    async def test_freezing_gives_the_dates_that_it_was_opened_without(self, store: SettlementStore) -> None:
        opening = opening_of(source=BatchSource.KAFKA, business_date=None, cutoff_at=None)
        opened = await store.filling.open_batch(opening)
        await store.filling.append_orders("B1", orders_of("O1"))
        await store.filling.freeze_batch("B1", CALENDAR)
        frozen = await store.filling.open_batch(opening)
        assert (opened.source, opened.cutoff_at, opened.business_date) == (BatchSource.KAFKA, None, None)
        assert frozen.cutoff_at is not None
        assert frozen.frozen_at is not None
        assert opened.opened_at <= frozen.cutoff_at <= frozen.frozen_at
        assert frozen.business_date == CALENDAR.latest_business_date(frozen.cutoff_at)


class TestBacklog:
    async def test_items_of_running_batches_count_until_they_have_an_outcome(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of("open"))
        await store.filling.append_orders("open", orders_of("O8"))
        await store.filling.open_batch(opening_of("frozen"))
        await store.filling.append_orders("frozen", orders_of("O9"))
        await store.filling.freeze_batch("frozen", CALENDAR)
        assert await store.batches.fetch_backlog_order_count(HOUR_S) == 0

        await run_batch(store, orders_of(*ORDER_IDS))  # 5 items in chunks of 3
        await run_batch(store, orders_of("O6", "O7"), batch_id="B2")
        counts = [await store.batches.fetch_backlog_order_count(HOUR_S)]
        await store.chunks.store_validation("B1", 0, [rejected(1)])
        counts.append(await store.batches.fetch_backlog_order_count(HOUR_S))
        await store.chunks.store_outcomes("B1", 0, [failed(0)])
        counts.append(await store.batches.fetch_backlog_order_count(HOUR_S))
        await store.chunks.store_validation("B1", 1, [])
        counts.append(await store.batches.fetch_backlog_order_count(HOUR_S))
        await store.chunks.store_outcomes("B1", 1, [held(3)])
        counts.append(await store.batches.fetch_backlog_order_count(HOUR_S))
        await store.chunks.hold_chunk("B2", 0, "why")
        counts.append(await store.batches.fetch_backlog_order_count(HOUR_S))
        assert counts == [7, 6, 4, 4, 2, 0]

    async def test_a_batch_counts_as_backlog_only_while_it_stores_something(self, store: SettlementStore) -> None:
        async def is_stuck() -> bool:
            return await store.batches.fetch_backlog_order_count(STUCK_S) == 0

        async def counts() -> int:
            """Count only what was stored since `before_s`; everything earlier was stuck already."""
            return await store.batches.fetch_backlog_order_count(time.monotonic() - before_s + STUCK_S / 2)

        before_s = time.monotonic()
        await run_batch(store, orders_of(*ORDER_IDS))
        assert await eventually(counts) == 5
        await eventually(is_stuck)
        assert await store.batches.fetch_backlog_order_count(HOUR_S) == 5
        for step in (store.chunks.store_validation("B1", 0, [rejected(0)]), store.chunks.hold_chunk("B1", 1, "why")):
            before_s = time.monotonic()
            await step
            assert await eventually(counts) > 0
            await eventually(is_stuck)

    async def test_what_a_lost_step_left_as_it_was_counts_as_no_step(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        await store.chunks.store_validation("B1", 0, [])

        async def is_stuck() -> bool:
            return await store.batches.fetch_backlog_order_count(STUCK_S) == 0

        await eventually(is_stuck)
        lost = await asyncio.gather(*(store.chunks.store_validation("B1", 0, [rejected(0)]) for _ in range(2)))
        assert not any(each.is_new for each in lost)
        assert await is_stuck()
