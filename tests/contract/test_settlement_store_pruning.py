"""The contract of the settlement store's port for pruning."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from database.pools import Pool
from domain import limits
from domain.errors import BatchNotFoundError, BatchPrunedError, InvariantViolationError
from schemas.batches import RetiredBatch
from schemas.items import ExceptionItem, RerunItem
from schemas.order_life import OrderItem
from schemas.wire.batches import BatchSource, RerunSelection
from schemas.wire.reasons import Outcome, ReasonCode
from schemas.wire.reports import BatchReport
from schemas.wire.totals import ControlTotals
from settlement_store.port import SettlementStore
from settling.reporting import fetch_report, fetch_since_closing
from tests.contract.adapters import not_in_memory
from tests.contract.settlement_batches import (
    close_batch,
    deliver_all,
    held,
    opening_of,
    order_of,
    orders_of,
    outcomes_of,
    rejected,
    run_batch,
    settle,
)
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.support.settlements import replaced

NO_RETENTION = timedelta(0)
ORDER_IDS = [f"O{n}" for n in range(8)]


async def report_of(store: SettlementStore, batch_id: str) -> BatchReport:
    return await fetch_report(store, MemoryFundPlatform(), batch_id)


async def close(store: SettlementStore, batch_id: str) -> str:
    await close_batch(store, batch_id)
    await deliver_all(store)
    return batch_id


async def settle_in_chunks(store: SettlementStore) -> str:
    """Make a closed batch of eight orders in chunks of three: O0 and O4 rejected, the others settled."""
    await run_batch(store, orders_of(*ORDER_IDS), batch_id="B1")
    for chunk_index, rejects in enumerate([[rejected(0)], [rejected(4)], []]):
        await store.chunks.store_validation("B1", chunk_index, rejects)
        await store.chunks.store_outcomes("B1", chunk_index, [])
    return await close(store, "B1")


async def retired_of(store: SettlementStore, retention: timedelta = NO_RETENTION) -> list[RetiredBatch]:
    return list(await store.pruning.fetch_retired_batches(retention, None, 10))


async def begin_pruning(store: SettlementStore, batch_id: str) -> bool:
    since_closing = await fetch_since_closing(store, MemoryFundPlatform(), batch_id)
    return await store.pruning.begin_pruning(batch_id, since_closing)


async def prune(store: SettlementStore, batch_id: str) -> list[int]:
    """Prune a batch and return how many items each step pruned."""
    assert await begin_pruning(store, batch_id)
    counts = []
    while count := await store.pruning.prune_chunks(batch_id):
        counts.append(count)
    return counts


async def life_of(store: SettlementStore, order_id: str) -> list[OrderItem]:
    """Return an order's items without the fields that pruning deletes."""
    items = await store.orders.fetch_items_of_order(order_id)
    return [item.model_copy(update={"detail": None, "stored_at": None}) for item in items]


async def test_only_closed_batches_past_their_retention_are_retired_the_oldest_first(store: SettlementStore) -> None:
    for batch_id in ("B1", "B2", "B3"):
        await settle(store, [f"{batch_id}-O1"], batch_id)
    await close(store, "B2")
    await close(store, "B1")
    await close_batch(store, "B3", balanced=False)
    first, second = await retired_of(store)
    assert (first.batch_id, second.batch_id) == ("B2", "B1")
    assert (first.item_count, first.held_count, first.unclosed_rerun_count) == (1, 0, 0)
    assert await retired_of(store, timedelta(minutes=1)) == []
    assert await store.pruning.fetch_retired_batches(NO_RETENTION, first, 10) == [second]
    assert await store.pruning.fetch_retired_batches(NO_RETENTION, None, 1) == [first]


async def test_pruning_takes_bounded_steps_of_whole_chunks_and_then_has_nothing_left(
    store: SettlementStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PRUNE_STEP_ITEM_COUNT", 7)
    await settle_in_chunks(store)
    assert await prune(store, "B1") == [6, 2]
    assert await store.pruning.prune_chunks("B1") == 0
    assert await retired_of(store) == []
    with pytest.raises(BatchNotFoundError):
        await store.chunks.fetch_chunk("B1", 0)


@pytest.mark.parametrize("step_count", [0, 1, 2, 3])
async def test_what_is_known_of_orders_and_batches_is_the_same_after_any_step(
    store: SettlementStore, monkeypatch: pytest.MonkeyPatch, step_count: int
) -> None:
    monkeypatch.setattr(limits, "PRUNE_STEP_ITEM_COUNT", 3)
    await settle_in_chunks(store)
    before = (
        await store.audit.fetch_latest_items("", 100),
        await store.audit.fetch_item_of_order("O4"),
        await store.batches.fetch_progress("B1"),
        await store.batches.fetch_planned_totals("B1"),
        [
            item.model_copy(update={"detail": None, "stored_at": None})
            for item in await store.orders.fetch_items_of_order("O4")
        ],
    )
    await begin_pruning(store, "B1")
    for _ in range(step_count):
        await store.pruning.prune_chunks("B1")
    assert (
        await store.audit.fetch_latest_items("", 100),
        await store.audit.fetch_item_of_order("O4"),
        await store.batches.fetch_progress("B1"),
        await store.batches.fetch_planned_totals("B1"),
        [
            item.model_copy(update={"detail": None, "stored_at": None})
            for item in await store.orders.fetch_items_of_order("O4")
        ],
    ) == before
    assert await store.audit.fetch_store_breaks(10) == []


async def test_a_pruned_order_is_a_duplicate_or_conflict_and_a_rejected_one_comes_again(
    store: SettlementStore,
) -> None:
    await settle_in_chunks(store)
    await prune(store, "B1")
    await store.filling.open_batch(opening_of("B2"))
    offered = [order_of("O0"), order_of("O1"), order_of("O2", amount_minor=1), order_of("O4", account_id="A2")]
    result = await store.filling.append_orders("B2", offered)
    assert (result.claimed_count, result.duplicate_count, len(result.conflict_order_ids)) == (2, 1, 1)
    assert result.unanswered_conflict_order_ids == ()
    assert [item.claim_no for item in await store.orders.fetch_items_of_order("O0")] == [1, 2]
    assert [item.claim_no for item in await store.orders.fetch_items_of_order("O4")] == [1, 2]
    outcomes = await outcomes_of(store)
    assert outcomes["O0"] == outcomes["O4"] == ("pending", None)
    assert await store.audit.fetch_store_breaks(10) == []


async def test_of_a_pruned_exception_item_the_reason_stays_and_the_detail_does_not(store: SettlementStore) -> None:
    await settle(store, ["O1"], "B1", [rejected(0)._replace(detail="its record says disputed")])
    await close(store, "B1")
    [before] = await store.orders.fetch_items_of_order("O1")
    assert before.detail == "its record says disputed"
    await prune(store, "B1")
    [after] = await store.orders.fetch_items_of_order("O1")
    assert after == before.model_copy(update={"detail": None, "stored_at": None})


@not_in_memory("in memory pruned items stay where they are")
async def test_nothing_of_a_pruned_batch_is_left_where_settling_looks(store: SettlementStore, store_pool: Pool) -> None:
    await settle_in_chunks(store)
    await settle(store, ["O9"], "B2")
    await prune(store, "B1")
    counts = [
        await store_pool.fetchval(f"SELECT count(*) FROM {table}")
        for table in ("items", "exception_items", "chunk_states", "pruned_items")
    ]
    assert counts == [1, 0, 1, len(ORDER_IDS)]


async def test_an_order_whose_both_items_are_pruned_keeps_the_later_one(store: SettlementStore) -> None:
    await settle_in_chunks(store)
    await settle(store, ["O0", "O4"], "B2", exceptions=[ExceptionItem(1, Outcome.REJECTED, ReasonCode.ACCOUNT_CLOSED)])
    await close(store, "B2")
    for batch_id in ("B2", "B1"):
        await prune(store, batch_id)
    outcomes = await outcomes_of(store)
    assert (outcomes["O0"], outcomes["O4"]) == (("settled", None), ("rejected", "ACCOUNT_CLOSED"))
    assert await store.audit.fetch_store_breaks(10) == []


async def test_a_held_item_is_told_while_it_is_its_orders_latest(store: SettlementStore) -> None:
    await settle(store, ["O1"], "B1", exceptions=[held(0)])
    await close(store, "B1")
    assert [each.held_count for each in await retired_of(store)] == [1]
    await store.filling.open_batch(
        rerun_opening := opening_of("R1", source=BatchSource.RERUN, rerun=selection_of("B1"))
    )
    assert [each.unclosed_rerun_count for each in await retired_of(store)] == [1]
    assert not await begin_pruning(store, "B1")
    await store.filling.append_rerun_items(
        rerun_opening.batch_id, [RerunItem("O1", 1, "A1", 100, "USD", inherits_unknown=True)]
    )
    assert [each.held_count for each in await retired_of(store)] == [0]


def selection_of(batch_id: str) -> RerunSelection:
    return RerunSelection(batch_id=batch_id, outcomes=(Outcome.REJECTED, Outcome.HELD))


async def test_a_batch_that_is_being_pruned_is_not_rerun(store: SettlementStore) -> None:
    await settle_in_chunks(store)
    assert len(await store.filling.fetch_exceptions("B1", -1, 10)) == 2
    await prune(store, "B1")
    assert await store.filling.fetch_exceptions("B1", -1, 10) == []
    with pytest.raises(BatchPrunedError, match="B1"):
        await store.filling.open_batch(opening_of("R1", source=BatchSource.RERUN, rerun=selection_of("B1")))
    assert [batch.batch_id for batch in await store.batches.fetch_batches(10)] == ["B1"]


async def test_nothing_is_pruned_before_its_pruning_was_begun(store: SettlementStore) -> None:
    await settle_in_chunks(store)
    with pytest.raises(InvariantViolationError):
        await store.pruning.prune_chunks("B1")
    with pytest.raises(BatchNotFoundError):
        await store.pruning.prune_chunks("nowhere")


async def test_what_came_since_is_kept_once_with_the_report_of_the_closing(store: SettlementStore) -> None:
    await settle_in_chunks(store)
    report = await report_of(store, "B1")
    assert report.since_closing
    assert await store.pruning.begin_pruning("B1", report.since_closing)
    assert await store.pruning.begin_pruning("B1", report.since_closing.model_copy(update={"balanced": False}))
    kept = (await store.reports.fetch_kept_reports(["B1"]))["B1"]
    assert kept.report == report.model_copy(update={"since_closing": None})
    assert kept.since_closing
    assert kept.since_closing.pruned_at
    assert kept.since_closing.model_copy(update={"pruned_at": None}) == report.since_closing


async def test_a_batch_that_is_not_closed_is_not_pruned(store: SettlementStore) -> None:
    await settle_in_chunks(store)
    await settle(store, ["O9"], "B2")
    assert not await begin_pruning(store, "B2")
    with pytest.raises(InvariantViolationError):
        await store.pruning.prune_chunks("B2")


async def test_a_report_that_is_read_while_its_batch_is_pruned_has_all_that_came_since(store: SettlementStore) -> None:
    await settle_in_chunks(store)
    await settle(store, ["O0"], "B2")
    report = await report_of(store, "B1")
    fund_platform = MemoryFundPlatform()

    async def fetch_credit_totals(idempotency_keys: Sequence[str]) -> ControlTotals:
        await prune(store, "B1")
        return await fund_platform.credits.fetch_credit_totals(idempotency_keys)

    meddled = replaced(fund_platform, "fetch_credit_totals", fetch_credit_totals)
    read = await fetch_report(store, meddled, "B1")
    assert read.since_closing
    assert report.since_closing
    since_closing = report.since_closing.model_copy(update={"pruned_at": read.since_closing.pruned_at})
    assert read == report.model_copy(update={"since_closing": since_closing})


async def test_pruning_at_once_prunes_each_chunk_once(store: SettlementStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PRUNE_STEP_ITEM_COUNT", 1)
    await settle_in_chunks(store)
    await begin_pruning(store, "B1")
    counts = await asyncio.gather(*(store.pruning.prune_chunks("B1") for _ in range(5)))
    assert sorted(counts) == [0, 0, 2, 3, 3]
    assert len(await outcomes_of(store)) == len(ORDER_IDS)
    assert await store.audit.fetch_store_breaks(10) == []
