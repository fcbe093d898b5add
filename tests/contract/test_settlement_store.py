"""What the settlement store's port promises, of the one in memory and of the one on PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, product
from typing import Any

import pytest

from domain import limits
from domain.control_totals import outcome_totals_of, sum_totals, totals_of
from domain.errors import (
    BatchMismatchError,
    BatchNotFoundError,
    BatchNotOpenError,
    ChunkUnfinishedError,
    DataError,
    InvariantViolationError,
    TooManyBatchesError,
)
from schemas.audit import LatestItem, OfferCounts
from schemas.batches import (
    AppendResult,
    Batch,
    BatchProgress,
    BatchState,
    Chunk,
    ChunkState,
    ControlTotals,
    ExceptionItem,
    Item,
    OutcomeTotals,
)
from schemas.control import BatchControl
from schemas.reasons import Outcome, ReasonCode
from settlement_store.port import SettlementStore
from tests.contract.adapters import not_in_memory
from tests.contract.settlement_batches import (
    CUTOFF,
    ORDER_IDS,
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
from tests.settlements import CALENDAR


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

    async def test_more_unclosed_batches_than_the_bound_are_not_opened_and_the_oldest_are_named(
        self, store: SettlementStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "UNCLOSED_BATCH_COUNT_MAX", 2)
        await settle(store, ["O1"], "B1")
        await store.batches.close_batch("B1", balanced=True)
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


NEEDS_A_BATCH: dict[str, Callable[[SettlementStore], Awaitable[object]]] = {
    "append_orders": lambda store: store.filling.append_orders("none", orders_of("O1")),
    "freeze_batch": lambda store: store.filling.freeze_batch("none", CALENDAR),
    "start_batch": lambda store: store.batches.start_batch("none"),
    "fetch_chunk": lambda store: store.chunks.fetch_chunk("none", 0),
    "fetch_pending_items": lambda store: store.chunks.fetch_pending_items("none", Chunk(0, 0, 1, ChunkState.PLANNED)),
    "store_validation": lambda store: store.chunks.store_validation("none", 0, []),
    "store_outcomes": lambda store: store.chunks.store_outcomes("none", 0, []),
    "hold_chunk": lambda store: store.chunks.hold_chunk("none", 0, "why"),
    "fetch_chunk_totals": lambda store: store.chunks.fetch_chunk_totals("none", 0),
    "fetch_item_groups": lambda store: store.chunks.fetch_item_groups("none", 0, 1),
    "close_batch": lambda store: store.batches.close_batch("none", balanced=True),
    "fetch_batch": lambda store: store.batches.fetch_batch("none"),
    "fetch_planned_totals": lambda store: store.batches.fetch_planned_totals("none"),
    "fetch_reason_counts": lambda store: store.batches.fetch_reason_counts("none"),
    "fetch_progress": lambda store: store.batches.fetch_progress("none"),
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
        with pytest.raises(ValueError, match="at most"):
            await store.filling.append_orders("B1", orders_of(*map(str, range(limits.FREEZE_SLICE_ORDER_COUNT + 1))))
        assert await store.batches.fetch_batch("B1") == batch

    @not_in_memory("in memory no datum is too bad to be stored")
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
        assert await store.audit.fetch_offer_counts() == OfferCounts(3, 6)

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
        assert (await store.batches.start_batch("B1")).planned == expected

    async def test_chunks_cover_the_batch(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*map(str, range(7))))
        assert [await store.chunks.fetch_chunk("B1", chunk_index) for chunk_index in range(3)] == [
            Chunk(0, 0, 3, ChunkState.PLANNED),
            Chunk(1, 3, 6, ChunkState.PLANNED),
            Chunk(2, 6, 7, ChunkState.PLANNED),
        ]
        with pytest.raises(BatchNotFoundError):
            await store.chunks.fetch_chunk("B1", 3)

    async def test_freezing_and_starting_again_change_nothing(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        await store.chunks.store_validation("B1", 0, [rejected(0)])
        before = await everything_of(store, "B1")
        await store.filling.freeze_batch("B1", CALENDAR)
        plan = await store.batches.start_batch("B1")
        assert plan.model_dump(exclude={"planned"}) == {
            "state": BatchState.RUNNING,
            "chunk_count": 2,
            "chunk_size": 3,
            "window": 2,
            "business_date": date(2026, 11, 22),
            "cutoff_at": CUTOFF,
            "control": BatchControl(window=2).model_dump(),
        }
        assert await everything_of(store, "B1") == before

    async def test_freezing_and_starting_at_once_happen_once(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of())
        await store.filling.append_orders("B1", orders_of(*ORDER_IDS))
        await asyncio.gather(*(store.filling.freeze_batch("B1", CALENDAR) for _ in range(4)))
        plans = await asyncio.gather(*(store.batches.start_batch("B1") for _ in range(4)))
        assert plans == [plans[0]] * 4
        assert plans[0].chunk_count == 2

    async def test_an_open_batch_does_not_start(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of())
        with pytest.raises(BatchNotOpenError):
            await store.batches.start_batch("B1")
        assert (await store.batches.fetch_batch("B1")).state == BatchState.OPEN

    async def test_a_batch_of_nothing_runs_and_closes(self, store: SettlementStore) -> None:
        await run_batch(store, [])
        with pytest.raises(BatchNotFoundError):
            await store.chunks.fetch_chunk("B1", 0)
        assert (await store.batches.close_batch("B1", balanced=True)).state == BatchState.CLOSED

    async def test_each_state_is_stamped_once_and_in_order(self, store: SettlementStore) -> None:
        await settle(store, ["O1"], "B1")
        batch = await store.batches.close_batch("B1", balanced=True)
        stamps = [batch.opened_at, batch.frozen_at, batch.started_at, batch.closed_at]
        assert all(earlier and later and earlier <= later for earlier, later in pairwise(stamps))


class TestChunks:
    async def test_validation_rejects_and_leaves_the_rest_pending(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        totals, is_new = await store.chunks.store_validation("B1", 0, [rejected(1)])
        assert is_new
        assert totals == outcome_totals_of([("rejected", "USD", 1, 100)])
        chunk = await store.chunks.fetch_chunk("B1", 0)
        assert chunk == Chunk(0, 0, 3, ChunkState.VALIDATED)
        assert [item.item_no for item in await store.chunks.fetch_pending_items("B1", chunk)] == [0, 2]
        assert await outcomes_of(store) == {
            **dict.fromkeys(ORDER_IDS, ("pending", None)),
            "O1": (Outcome.REJECTED, ReasonCode.ORDER_DISPUTED),
        }
        with pytest.raises(ChunkUnfinishedError):
            await store.chunks.fetch_chunk_totals("B1", 0)

    async def test_validation_fails_and_holds_what_it_cannot_judge_and_only_the_failed_come_in_again(
        self, store: SettlementStore
    ) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        not_attempted = ExceptionItem(2, Outcome.HELD, ReasonCode.NOT_ATTEMPTED, "too many are bad")
        totals, _ = await store.chunks.store_validation("B1", 0, [failed(1), not_attempted])
        assert totals == outcome_totals_of([("failed", "USD", 1, 100), ("held", "USD", 1, 100)])
        assert await store.audit.fetch_store_breaks(10) == []
        await store.filling.open_batch(opening_of("B2"))
        appended = await store.filling.append_orders("B2", orders_of("O1", "O2"))
        assert (appended.claimed_count, appended.duplicate_count) == (1, 1)
        [held_item] = await store.orders.fetch_items_of_order("O2")
        assert (held_item.reason_code, held_item.detail) == (ReasonCode.NOT_ATTEMPTED, "too many are bad")
        assert await store.audit.fetch_store_breaks(10) == []

    async def test_outcomes_close_the_chunk_with_its_totals(self, store: SettlementStore) -> None:
        orders = [order_of("O0"), order_of("O1", amount_minor=7), order_of("O2", currency="EUR"), *orders_of("O3")]
        await run_chunk(store, [*orders, order_of("O4", amount_minor=30)])
        await store.chunks.store_validation("B1", 0, [rejected(1)])
        totals = await store.chunks.store_outcomes("B1", 0, [failed(3), held(4)])
        assert totals == outcome_totals_of(
            [
                ("settled", "USD", 1, 100),
                ("settled", "EUR", 1, 100),
                ("rejected", "USD", 1, 7),
                ("failed", "USD", 1, 100),
                ("held", "USD", 1, 30),
            ]
        )
        assert await store.chunks.fetch_chunk_totals("B1", 0) == totals
        chunk = await store.chunks.fetch_chunk("B1", 0)
        assert chunk.state == ChunkState.CLOSED
        assert await store.batches.fetch_reason_counts("B1") == {
            "DATA_ERROR": 1,
            "ORDER_DISPUTED": 1,
            "PAYLOAD_CONFLICT": 1,
        }

    async def test_a_payload_conflict_counts_as_a_conflict_once(self, store: SettlementStore) -> None:
        await run_chunk(store, orders_of(*ORDER_IDS))
        await store.chunks.store_validation("B1", 0, [])
        unknown = ExceptionItem(2, Outcome.HELD, ReasonCode.OUTCOME_UNKNOWN)
        for _ in range(2):
            await store.chunks.store_outcomes("B1", 0, [held(0), held(1), unknown, failed(3)])
        assert await store.audit.fetch_offer_counts() == OfferCounts(0, 2)
        assert (await store.batches.fetch_batch("B1")).conflict_count == 2

    async def test_a_chunk_without_validation_takes_no_outcomes(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        before = await everything_of(store, "B1")
        with pytest.raises(InvariantViolationError):
            await store.chunks.store_outcomes("B1", 0, [failed(0)])
        assert await everything_of(store, "B1") == before
        assert (await store.chunks.fetch_chunk("B1", 0)).state == ChunkState.PLANNED

    @pytest.mark.parametrize(
        "exceptions",
        [[failed(0), failed(3)], [failed(0), failed(-1)], [failed(0), held(0)], [failed(0), failed(1)]],
        ids=["of the next chunk", "of no item", "twice", "that has an outcome"],
    )
    async def test_an_outcome_of_a_strange_item_is_refused(
        self, store: SettlementStore, exceptions: list[ExceptionItem]
    ) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        await store.chunks.store_validation("B1", 0, [rejected(1)])
        before = await everything_of(store, "B1")
        with pytest.raises(InvariantViolationError):
            await store.chunks.store_outcomes("B1", 0, exceptions)
        assert await everything_of(store, "B1") == before
        assert (await store.chunks.fetch_chunk("B1", 0)).state == ChunkState.VALIDATED

    async def test_a_chunk_held_before_validation_was_not_attempted(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        totals = await store.chunks.hold_chunk("B1", 0, "the worker is gone")
        assert totals == outcome_totals_of([("held", "USD", 3, 300)])
        not_attempted = (Outcome.HELD, ReasonCode.NOT_ATTEMPTED)
        assert list((await outcomes_of(store)).values()) == [not_attempted] * 3 + [("pending", None)] * 2

    async def test_a_chunk_held_after_validation_is_of_unknown_outcome(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        await store.chunks.store_validation("B1", 0, [rejected(1)])
        totals = await store.chunks.hold_chunk("B1", 0, "x" * (limits.EXCEPTION_DETAIL_LENGTH_MAX + 1))
        assert totals == outcome_totals_of([("held", "USD", 2, 200), ("rejected", "USD", 1, 100)])
        assert await outcomes_of(store) == {
            **dict.fromkeys(ORDER_IDS[:3], (Outcome.HELD, ReasonCode.OUTCOME_UNKNOWN)),
            "O1": (Outcome.REJECTED, ReasonCode.ORDER_DISPUTED),
            **dict.fromkeys(ORDER_IDS[3:], ("pending", None)),
        }

    async def test_held_orders_keep_their_claim_and_rejected_ones_do_not(self, store: SettlementStore) -> None:
        await run_chunk(store, orders_of("O1", "O2"))
        await store.chunks.store_validation("B1", 0, [rejected(0)])
        await store.chunks.hold_chunk("B1", 0, "why")
        await store.filling.open_batch(opening_of("B2"))
        assert await store.filling.append_orders("B2", orders_of("O1", "O2")) == AppendResult(1, 1, (), ())


async def totals_after_validation(store: SettlementStore, *rejects: ExceptionItem) -> OutcomeTotals:
    return (await store.chunks.store_validation("B1", 0, rejects)).totals


Step = Callable[[SettlementStore], Awaitable[OutcomeTotals]]
STEPS: dict[str, Step] = {
    "validation": lambda store: totals_after_validation(store, rejected(0)),
    "other validation": lambda store: totals_after_validation(store, rejected(1), rejected(2)),
    "outcomes": lambda store: store.chunks.store_outcomes("B1", 0, [failed(3)]),
    "other outcomes": lambda store: store.chunks.store_outcomes("B1", 0, [held(3), failed(4)]),
    "hold": lambda store: store.chunks.hold_chunk("B1", 0, "why"),
}
CLOSING_STEPS = ("outcomes", "other outcomes", "hold")
WINS_AFTER = {(first, second) for first in ("validation", "other validation") for second in CLOSING_STEPS}


async def prepare(store: SettlementStore, first: str) -> None:
    """A running chunk, at the state that the step needs."""
    await run_chunk(store, orders_of(*ORDER_IDS))
    if first in ("outcomes", "other outcomes"):
        await store.chunks.store_validation("B1", 0, [rejected(0)])


class TestEveryPairOfSteps:
    @pytest.mark.parametrize(("first", "second"), list(product(STEPS, repeat=2)))
    async def test_the_later_of_two_rivals_writes_nothing_and_gets_the_stored_totals(
        self, store: SettlementStore, first: str, second: str
    ) -> None:
        await prepare(store, first)
        totals = await STEPS[first](store)
        chunk, before = await store.chunks.fetch_chunk("B1", 0), await everything_of(store, "B1")
        answer = await STEPS[second](store)
        if (first, second) in WINS_AFTER:
            assert (await store.chunks.fetch_chunk("B1", 0)).state == ChunkState.CLOSED
            assert sum_totals(getattr(answer, outcome) for outcome in Outcome).order_count == len(ORDER_IDS)
        else:
            assert answer == totals
            assert await store.chunks.fetch_chunk("B1", 0) == chunk
            assert await everything_of(store, "B1") == before
        assert await store.audit.fetch_store_breaks(10) == []

    @pytest.mark.parametrize(("first", "second"), list(product(CLOSING_STEPS, repeat=2)))
    async def test_of_two_at_once_one_closes_the_chunk_and_both_get_its_totals(
        self, store: SettlementStore, first: str, second: str
    ) -> None:
        await prepare(store, "outcomes")
        totals = await asyncio.gather(*(STEPS[name](store) for name in (first, second, first, second)))
        assert totals == [await store.chunks.fetch_chunk_totals("B1", 0)] * 4
        assert await store.audit.fetch_store_breaks(10) == []

    async def test_of_two_validations_at_once_one_rejects(self, store: SettlementStore) -> None:
        await prepare(store, "validation")
        rejects = [[rejected(0)], [rejected(1), rejected(2)]] * 2
        stored = await asyncio.gather(*(store.chunks.store_validation("B1", 0, each) for each in rejects))
        assert [each.is_new for each in stored].count(True) == 1
        totals = [each.totals for each in stored]
        assert totals == [totals[0]] * 4
        assert totals[0].rejected.order_count == list((await outcomes_of(store)).values()).count(
            (Outcome.REJECTED, ReasonCode.ORDER_DISPUTED)
        )
        assert await store.audit.fetch_store_breaks(10) == []


class TestClosing:
    @pytest.mark.parametrize("balanced", [True, False])
    async def test_a_settled_batch_gets_a_final_state_once(self, store: SettlementStore, balanced: bool) -> None:
        await settle(store, ORDER_IDS, "B1")
        batch = await store.batches.close_batch("B1", balanced=balanced)
        assert batch.state == (BatchState.CLOSED if balanced else BatchState.OUT_OF_BALANCE)
        assert await store.batches.close_batch("B1", balanced=not balanced) == batch

    async def test_a_batch_with_an_unclosed_chunk_stays_running(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        await store.chunks.hold_chunk("B1", 0, "why")
        await store.chunks.store_validation("B1", 1, [])
        with pytest.raises(InvariantViolationError):
            await store.batches.close_batch("B1", balanced=True)
        assert (await store.batches.fetch_batch("B1")).state == BatchState.RUNNING

    async def test_a_batch_that_does_not_run_is_not_closed(self, store: SettlementStore) -> None:
        await store.filling.open_batch(opening_of())
        with pytest.raises(InvariantViolationError):
            await store.batches.close_batch("B1", balanced=True)
        await store.filling.freeze_batch("B1", CALENDAR)
        with pytest.raises(InvariantViolationError):
            await store.batches.close_batch("B1", balanced=True)
        assert (await store.batches.fetch_batch("B1")).state == BatchState.FROZEN

    async def test_a_final_batch_stays_final(self, store: SettlementStore) -> None:
        await settle(store, ORDER_IDS, "B1")
        await store.batches.close_batch("B1", balanced=True)
        before = await everything_of(store, "B1")
        await store.filling.freeze_batch("B1", CALENDAR)
        assert (await store.batches.start_batch("B1")).state == BatchState.CLOSED
        assert await everything_of(store, "B1") == before


class TestReading:
    async def test_progress_follows_the_chunks(self, store: SettlementStore) -> None:
        async def progress() -> BatchProgress:
            return await store.batches.fetch_progress("B1")

        def expected(state: BatchState = BatchState.RUNNING, **counts: int) -> BatchProgress:
            none = dict.fromkeys(("settled", "rejected", "failed", "held", "chunk_count", "chunk_closed_count"), 0)
            return BatchProgress(state=state, planned=5, **{**none, **counts})

        await store.filling.open_batch(opening_of())
        await store.filling.append_orders("B1", orders_of(*ORDER_IDS))
        assert await progress() == expected(BatchState.OPEN)
        await store.filling.freeze_batch("B1", CALENDAR)
        assert await progress() == expected(BatchState.FROZEN, chunk_count=2)
        await store.batches.start_batch("B1")
        await store.chunks.store_validation("B1", 0, [rejected(0)])
        assert await progress() == expected(chunk_count=2, rejected=1)
        await store.chunks.store_outcomes("B1", 0, [failed(1)])
        assert await progress() == expected(chunk_count=2, chunk_closed_count=1, rejected=1, failed=1, settled=1)
        await store.chunks.hold_chunk("B1", 1, "why")
        await store.batches.close_batch("B1", balanced=True)
        assert await progress() == expected(
            BatchState.CLOSED, chunk_count=2, chunk_closed_count=2, rejected=1, failed=1, settled=1, held=2
        )

    async def test_groups_tell_outcome_currency_and_whether_the_items_are_the_latest(
        self, store: SettlementStore
    ) -> None:
        orders = [*orders_of("O0", "O1", "O2"), order_of("O3", currency="EUR"), *orders_of("O4", "O5", "O6")]
        await run_batch(store, orders)
        await store.chunks.store_validation("B1", 0, [rejected(0)])
        await store.chunks.store_outcomes("B1", 0, [held(2)])
        await store.chunks.store_validation("B1", 1, [rejected(4)])
        await store.filling.open_batch(opening_of("B2"))
        await store.filling.append_orders("B2", orders_of("O0"))

        async def groups(item_start: int, item_end: int) -> set[tuple[str, str, bool, int, tuple[str, ...]]]:
            found = await store.chunks.fetch_item_groups("B1", item_start, item_end)
            assert len({group[:3] for group in found}) == len(found)
            return {(*group[:4], tuple(sorted(group.order_ids))) for group in found}

        assert await groups(0, 7) == {
            ("rejected", "USD", False, 100, ("O0",)),
            ("settled", "USD", True, 100, ("O1",)),
            ("held", "USD", True, 100, ("O2",)),
            ("pending", "EUR", True, 100, ("O3",)),
            ("rejected", "USD", True, 100, ("O4",)),
            ("pending", "USD", True, 200, ("O5", "O6")),
        }
        assert await groups(1, 6) == {
            ("settled", "USD", True, 100, ("O1",)),
            ("held", "USD", True, 100, ("O2",)),
            ("pending", "EUR", True, 100, ("O3",)),
            ("rejected", "USD", True, 100, ("O4",)),
            ("pending", "USD", True, 100, ("O5",)),
        }
        assert await groups(7, 9) == set()

    async def test_latest_items_come_in_code_point_order_slice_by_slice(self, store: SettlementStore) -> None:
        order_ids = ["z", "Z", "é", "10", "9", "\U0001f642", "\uff21"]
        await run_chunk(store, orders_of(*order_ids))
        found: list[str] = []
        while items := await store.audit.fetch_latest_items(found[-1] if found else "", 2):
            assert len(items) <= 2
            found += [item.order_id for item in items]
        assert found == sorted(order_ids)

    async def test_the_latest_item_of_an_order_is_that_of_its_claim(self, store: SettlementStore) -> None:
        await settle(store, ["O1"], "B1", [rejected(0)])
        await run_chunk(store, [order_of("O1", account_id="A2", amount_minor=7, currency="EUR")], batch_id="B2")
        item = await store.audit.fetch_item_of_order("O1")
        opened_at = (await store.batches.fetch_batch("B2")).opened_at
        expected = LatestItem("O1", "B2", opened_at, "pending", None, "A2", 7, "EUR")
        assert item == expected
        assert await store.audit.fetch_latest_items("", 10) == [item]
        await store.chunks.hold_chunk("B2", 0, "why")
        held_item = await store.audit.fetch_item_of_order("O1")
        assert held_item == expected._replace(outcome=Outcome.HELD, reason_code=ReasonCode.NOT_ATTEMPTED)
        assert await store.audit.fetch_item_of_order("O2") is None

    async def test_a_store_that_was_only_used_has_no_breaks(self, store: SettlementStore) -> None:
        await settle(store, ORDER_IDS, "B1", [rejected(0)], [failed(1), held(2)])
        await run_batch(store, orders_of("O0", "O1", "O9"), batch_id="B2")
        await store.chunks.hold_chunk("B2", 0, "why")
        await store.batches.close_batch("B2", balanced=False)
        await store.filling.open_batch(opening_of("B3"))
        await store.filling.append_orders("B3", orders_of("O7"))
        assert await store.audit.fetch_store_breaks(10) == []
        planned = totals_of([("USD", 3, 300)])
        assert await store.batches.fetch_planned_totals("B2") == planned
