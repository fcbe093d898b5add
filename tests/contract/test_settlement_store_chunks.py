"""The contract of the settlement store's port for chunks and their steps."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import product

import pytest

from domain import limits
from domain.control_totals import outcome_totals_of, sum_totals
from domain.errors import (
    ChunkUnfinishedError,
    InvariantViolationError,
)
from schemas.audit import OfferCounts
from schemas.batches import AppendResult
from schemas.chunks import Chunk, ChunkState
from schemas.items import ExceptionItem
from schemas.wire.batches import BatchSource
from schemas.wire.reasons import Outcome, ReasonCode
from schemas.wire.totals import OutcomeTotals
from settlement_store.port import SettlementStore
from tests.contract.settlement_batches import (
    CUTOFF,
    ORDER_IDS,
    everything_of,
    failed,
    held,
    opening_of,
    order_of,
    orders_of,
    outcomes_of,
    rejected,
    run_batch,
    run_chunk,
)


class TestChunks:
    async def test_validation_rejects_and_leaves_the_rest_pending(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        totals, is_new = await store.chunks.store_validation("B1", 0, [rejected(1)])
        assert is_new
        assert totals == outcome_totals_of([("rejected", "USD", 1, 100)])
        chunk = await store.chunks.fetch_chunk("B1", 0)
        assert chunk == Chunk(0, 0, 3, ChunkState.VALIDATED, CUTOFF, BatchSource.MANUAL)
        assert [item.item_no for item in await store.chunks.fetch_pending_items("B1", chunk.items)] == [0, 2]
        assert await outcomes_of(store) == {
            **dict.fromkeys(ORDER_IDS, ("pending", None)),
            "O1": (Outcome.REJECTED, ReasonCode.ORDER_DISPUTED),
        }
        with pytest.raises(ChunkUnfinishedError):
            await store.chunks.fetch_chunk_totals("B1", 0)

    async def test_what_validation_cannot_judge_is_failed_or_held_and_only_failed_come_again(
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
        assert await store.audit.fetch_offer_counts() == OfferCounts(len(ORDER_IDS), 0, 2)
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
    """Make a running chunk in the state that the step needs."""
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
