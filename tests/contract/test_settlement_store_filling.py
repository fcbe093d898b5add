"""The contract of the settlement store's port for opening and filling batches."""

import asyncio
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from domain import limits
from domain.errors import (
    BatchMismatchError,
    BatchNotOpenError,
    CutoffAheadError,
    DataError,
    TooManyBatchesError,
    UnavailableError,
)
from schemas.batches import AppendResult, Batch
from schemas.items import Item
from schemas.wire.batches import BatchState
from schemas.wire.reasons import Outcome, ReasonCode
from settlement_store.port import SettlementStore
from tests.contract.adapters import not_in_memory
from tests.contract.settlement_batches import (
    CUTOFF,
    ORDER_IDS,
    close_batch,
    everything_of,
    failed,
    held,
    items_of,
    opening_of,
    order_of,
    orders_of,
    outcomes_of,
    rejected,
    run_batch,
    run_chunk,
    settle,
)
from tests.support.settlements import CALENDAR, eventually


class TestOpening:
    async def test_a_new_batch_is_open_and_empty(self, store: SettlementStore) -> None:
        before = datetime.now(UTC)
        batch = await store.filling.open_batch(opening_of())
        assert batch.model_dump() == {
            **opening_of().model_dump(),
            "state": BatchState.OPEN,
            "item_count": 0,
            "duplicate_count": 0,
            "conflict_count": 0,
            "opened_at": batch.opened_at,
            "frozen_at": None,
            "started_at": None,
            "closed_at": None,
        }
        assert abs(batch.opened_at - before) < timedelta(minutes=1)
        assert await store.batches.fetch_batch("B1") == batch

    async def test_opening_again_returns_what_is_there(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of())
        await store.filling.append_orders("B1", orders_of("O1"))
        again = await store.filling.open_batch(opening_of())
        assert again == await store.batches.fetch_batch("B1")
        assert again.item_count == 1

    async def test_opening_at_once_makes_one_batch(self, store: SettlementStore) -> None:
        batches = await asyncio.gather(*(store.filling.open_batch(opening_of()) for _ in range(5)))
        assert batches == [batches[0]] * 5
        assert len(await store.batches.fetch_batches(10)) == 1

    @pytest.mark.parametrize(
        "changes",
        [
            {"business_date": date(2026, 11, 21)},
            {"cutoff_at": CUTOFF + timedelta(microseconds=1)},
            {"chunk_size": 4},
            {"window": 3},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    async def test_another_batch_cannot_have_the_id(self, store: SettlementStore, changes: dict[str, Any]) -> None:
        batch = await store.filling.open_batch(opening_of())
        with pytest.raises(BatchMismatchError):
            await store.filling.open_batch(opening_of(**changes))
        assert await store.batches.fetch_batch("B1") == batch

    async def test_a_batch_is_not_opened_too_long_before_its_cutoff(self, store: SettlementStore) -> None:
        in_an_hour = datetime.now(UTC) + timedelta(hours=1)
        with pytest.raises(CutoffAheadError, match=r"B1 was not opened: its cutoff .* is in the future"):
            await store.filling.open_batch(opening_of(cutoff_at=in_an_hour))
        assert await store.batches.fetch_batches(10) == []

    async def test_a_batch_is_not_frozen_before_its_cutoff(self, store: SettlementStore) -> None:
        in_a_moment = datetime.now(UTC) + timedelta(seconds=2)
        await store.filling.open_batch(opening_of(cutoff_at=in_a_moment))
        await store.filling.append_orders("B1", orders_of("O1"))
        with pytest.raises(UnavailableError, match=r"B1 was not frozen: its cutoff .* is in the future"):
            await store.filling.freeze_batch("B1", CALENDAR)
        assert (await store.batches.fetch_batch("B1")).state == BatchState.OPEN

        async def is_frozen() -> bool:
            with suppress(UnavailableError):
                await store.filling.freeze_batch("B1", CALENDAR)
                return True
            return False

        await eventually(is_frozen)
        frozen = await store.batches.fetch_batch("B1")
        assert frozen.frozen_at
        assert frozen.cutoff_at == in_a_moment
        assert frozen.frozen_at >= in_a_moment

    async def test_over_the_bound_of_unclosed_batches_none_is_opened_and_the_oldest_are_named(
        self, store: SettlementStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "UNCLOSED_BATCH_COUNT_MAX", 2)
        await settle(store, ["O1"], "B1")
        await close_batch(store, "B1")
        opened = await asyncio.gather(
            *(store.filling.open_batch(opening_of(f"B{n}")) for n in range(2, 6)), return_exceptions=True
        )
        assert [type(each) for each in opened].count(TooManyBatchesError) == 2
        assert len(await store.batches.fetch_batches(10)) == 3
        unclosed = next(each.batch_id for each in opened if isinstance(each, Batch))
        assert (await store.filling.open_batch(opening_of(unclosed))).batch_id == unclosed

    async def test_the_newest_batches_come_first(self, store: SettlementStore) -> None:
        for batch_id in ("B2", "B3", "B1"):
            await store.filling.open_batch(opening_of(batch_id))
        assert [batch.batch_id for batch in await store.batches.fetch_batches(2)] == ["B1", "B3"]


class TestAppending:
    async def test_items_are_numbered_without_a_gap_in_code_point_order(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of())
        first = ["z", "Z", "é", "10", "9", "\U0001f642", "\uff21"]
        second = ["y", "Y", "z", "8"]
        assert await store.filling.append_orders("B1", orders_of(*first)) == AppendResult(7, 0, (), ())
        assert await store.filling.append_orders("B1", orders_of(*second)) == AppendResult(3, 1, (), ())
        assert await items_of(store, "B1") == [
            Item(item_no, order_id, "A1", 100, "USD", 1)
            for item_no, order_id in enumerate([*sorted(first), *sorted(set(second) - {"z"})])
        ]
        assert (await store.batches.fetch_batch("B1")).item_count == 10

    async def test_an_offer_of_nothing_does_nothing(self, store: SettlementStore) -> None:
        batch = await store.filling.open_batch(opening_of())
        assert await store.filling.append_orders("B1", []) == AppendResult(0, 0, (), ())
        assert await store.batches.fetch_batch("B1") == batch

    async def test_an_order_twice_in_one_offer_is_refused(self, store: SettlementStore) -> None:
        batch = await store.filling.open_batch(opening_of())
        with pytest.raises(ValueError, match="twice"):
            await store.filling.append_orders("B1", [order_of("O1"), order_of("O2"), order_of("O1", amount_minor=5)])
        assert await store.batches.fetch_batch("B1") == batch

    async def test_too_many_orders_in_one_offer_are_refused(self, store: SettlementStore) -> None:
        batch = await store.filling.open_batch(opening_of())
        with pytest.raises(ValueError, match="the limit is"):
            await store.filling.append_orders("B1", orders_of(*map(str, range(limits.FREEZE_SLICE_ORDER_COUNT + 1))))
        assert await store.batches.fetch_batch("B1") == batch

    @not_in_memory("in memory all data can be stored")
    async def test_an_order_that_cannot_be_stored_is_told_as_bad_and_none_is_appended(
        self, store: SettlementStore
    ) -> None:
        batch = await store.filling.open_batch(opening_of())
        with pytest.raises(DataError):
            await store.filling.append_orders("B1", orders_of("O1", "O\0"))
        assert await store.batches.fetch_batch("B1") == batch
        assert await items_of(store, "B1") == []

    async def test_a_frozen_batch_takes_no_orders(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of())
        await store.filling.freeze_batch("B1", CALENDAR)
        before = await everything_of(store, "B1")
        with pytest.raises(BatchNotOpenError):
            await store.filling.append_orders("B1", orders_of("O1"))
        assert await everything_of(store, "B1") == before

    async def test_the_same_payload_is_a_duplicate_and_any_other_a_conflict(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of())
        await store.filling.append_orders("B1", orders_of("O1", "O2", "O3", "O4"))
        await store.filling.open_batch(opening_of("B2"))
        offered = [
            order_of("O4", account_id="A2"),
            order_of("O3", amount_minor=101),
            order_of("O2", currency="EUR"),
            order_of("O1"),
            order_of("O5"),
        ]
        assert await store.filling.append_orders("B2", offered) == AppendResult(
            1, 1, ("O2", "O3", "O4"), ("O2", "O3", "O4")
        )
        assert [item.order_id for item in await items_of(store, "B2")] == ["O5"]
        batch = await store.batches.fetch_batch("B2")
        assert (batch.item_count, batch.duplicate_count, batch.conflict_count) == (1, 1, 3)
        assert await store.filling.append_orders("B2", offered) == AppendResult(
            0, 2, ("O2", "O3", "O4"), ("O2", "O3", "O4")
        )
        assert (await store.audit.fetch_offer_counts())[1:] == (3, 6)

    async def test_a_conflict_is_unanswered_only_while_the_item_is_pending(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        await store.chunks.store_validation("B1", 0, [])
        await store.chunks.store_outcomes("B1", 0, [held(1)])
        await store.chunks.store_validation("B1", 1, [])
        await store.filling.open_batch(opening_of("B2"))
        offered = [order_of(order_id, amount_minor=1) for order_id in ORDER_IDS]
        assert await store.filling.append_orders("B2", offered) == AppendResult(0, 0, tuple(ORDER_IDS), ("O3", "O4"))

    async def test_rejected_and_failed_orders_come_in_again_with_the_next_claim_number(
        self, store: SettlementStore
    ) -> None:
        await settle(store, ["O1", "O2", "O3", "O4"], "B1", [rejected(0)], [failed(1), held(2)])
        await store.filling.open_batch(opening_of("B2"))
        offered = [order_of("O1", amount_minor=7), *orders_of("O2", "O3", "O4", "O5")]
        assert await store.filling.append_orders("B2", offered) == AppendResult(3, 2, (), ())
        assert await items_of(store, "B2") == [
            Item(0, "O1", "A1", 7, "USD", 2),
            Item(1, "O2", "A1", 100, "USD", 2),
            Item(2, "O5", "A1", 100, "USD", 1),
        ]

    async def test_a_claim_number_is_never_used_again(self, store: SettlementStore) -> None:
        for n in range(1, 4):
            await run_chunk(store, orders_of("O1"), batch_id=f"B{n}")
            assert [item.claim_no for item in await items_of(store, f"B{n}")] == [n]
            await store.chunks.store_validation(f"B{n}", 0, [rejected(0)])
        assert (await outcomes_of(store))["O1"] == (Outcome.REJECTED, ReasonCode.ORDER_DISPUTED)

    async def test_appends_at_once_to_one_batch_take_each_order_once(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of())
        orders = orders_of(*(f"O{n:03d}" for n in range(200)))
        results = await asyncio.gather(*(store.filling.append_orders("B1", orders[n:] + orders[:n]) for n in range(4)))
        assert sum(result.claimed_count for result in results) == 200
        assert sum(result.duplicate_count for result in results) == 600
        assert [item.item_no for item in await items_of(store, "B1")] == list(range(200))
