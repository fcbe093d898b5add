"""The contract of the settlement store's port for one order's life."""

from datetime import UTC, datetime, timedelta

import pytest

from domain import limits
from schemas.items import ExceptionItem, RerunItem
from schemas.order_life import ConflictingOffer, OrderItem
from schemas.wire.batches import BatchSource, BatchState, RerunSelection
from schemas.wire.reasons import Outcome, ReasonCode
from settlement_store.port import SettlementStore
from tests.contract.settlement_batches import CUTOFF, opening_of, order_of, orders_of, rejected, run_batch, settle
from tests.support.settlements import CALENDAR

UNKNOWN = ExceptionItem(0, Outcome.HELD, ReasonCode.OUTCOME_UNKNOWN, "the connection was lost")


def is_recent(moment: datetime | None) -> bool:
    return moment is not None and abs(datetime.now(UTC) - moment) < timedelta(minutes=1)


def brief(item: OrderItem) -> tuple[str, int, str, ReasonCode | None]:
    return item.batch_id, item.claim_no, item.outcome, item.reason_code


async def rerun(store: SettlementStore, order_id: str, claim_no: int) -> None:
    """Make a running rerun R1 of an order whose credit may exist."""
    selection = RerunSelection(batch_id="B1", outcomes=(Outcome.HELD,))
    opening = opening_of("R1", source=BatchSource.RERUN, business_date=None, cutoff_at=None, rerun=selection)
    await store.filling.open_batch(opening)
    await store.filling.append_rerun_items(
        "R1", [RerunItem(order_id, claim_no, "A1", 100, "USD", inherits_unknown=True)]
    )


async def test_an_order_that_was_never_offered_has_no_life(store: SettlementStore) -> None:
    await settle(store, ["O1"], "B1")
    assert await store.orders.fetch_items_of_order("O2") == []
    assert await store.orders.fetch_conflicts_of_order("O2") == []


async def test_an_item_is_told_with_its_place_its_payload_and_its_exception(store: SettlementStore) -> None:
    await run_batch(store, orders_of("O1", "O2", "O3", "O4"))
    detail = "its record says disputed"
    await store.chunks.store_validation("B1", 1, [rejected(3)._replace(detail=detail)])
    [item] = await store.orders.fetch_items_of_order("O4")
    assert is_recent(item.stored_at)
    assert item == OrderItem(
        batch_id="B1",
        batch_source=BatchSource.MANUAL,
        batch_state=BatchState.RUNNING,
        business_date=CUTOFF.date(),
        item_no=3,
        chunk_index=1,
        claim_no=1,
        inherits_unknown=False,
        account_id="A1",
        amount_minor=100,
        currency="USD",
        outcome="rejected",
        reason_code=ReasonCode.ORDER_DISPUTED,
        detail=detail,
        stored_at=item.stored_at,
    )


async def test_an_item_is_pending_until_its_own_chunk_is_closed(store: SettlementStore) -> None:
    await store.filling.open_batch(opening_of())
    await store.filling.append_orders("B1", orders_of("O1", "O2", "O3", "O4"))
    [unplanned] = await store.orders.fetch_items_of_order("O4")
    assert (unplanned.outcome, unplanned.chunk_index, unplanned.batch_state) == ("pending", None, "open")
    await store.filling.freeze_batch("B1", CALENDAR)
    await store.batches.set_running("B1")
    await store.chunks.store_validation("B1", 0, [])
    await store.chunks.store_outcomes("B1", 0, [])
    [settled] = await store.orders.fetch_items_of_order("O1")
    [pending] = await store.orders.fetch_items_of_order("O4")
    assert (settled.outcome, settled.chunk_index, settled.stored_at) == ("settled", 0, None)
    assert (pending.outcome, pending.chunk_index, pending.stored_at) == ("pending", 1, None)


async def test_an_orders_lives_are_told_oldest_first_with_the_unknown_it_inherits(
    store: SettlementStore,
) -> None:
    await settle(store, ["O0", "O1"], "B0", [rejected(1)])
    await settle(store, ["O1"], "B1", exceptions=[UNKNOWN])
    await rerun(store, "O1", claim_no=2)
    lives = await store.orders.fetch_items_of_order("O1")
    assert [brief(life) for life in lives] == [
        ("B0", 1, "rejected", ReasonCode.ORDER_DISPUTED),
        ("B1", 2, "held", ReasonCode.OUTCOME_UNKNOWN),
        ("R1", 3, "pending", None),
    ]
    assert [life.inherits_unknown for life in lives] == [False, False, True]
    assert (lives[1].detail, lives[2].batch_source, lives[2].business_date) == (UNKNOWN.detail, "rerun", None)


async def test_of_many_lives_the_newest_are_told(store: SettlementStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ORDER_LIFE_ROW_COUNT_MAX", 2)
    for n in range(1, 5):
        await settle(store, ["O1"], f"B{n}", [rejected(0)])
    assert [life.claim_no for life in await store.orders.fetch_items_of_order("O1")] == [3, 4]


async def test_the_first_conflicting_offer_to_a_batch_is_kept_and_duplicates_are_not(store: SettlementStore) -> None:
    await settle(store, ["O1", "O2"], "B1")
    for batch_id, amount_minor in (("B2", 101), ("B2", 102), ("B3", 103), ("B3", 100)):
        await store.filling.open_batch(opening_of(batch_id))
        await store.filling.append_orders(batch_id, [order_of("O1", account_id="A2", amount_minor=amount_minor)])
    await store.filling.append_orders("B3", orders_of("O1", "O2", "O3"))
    conflicts = await store.orders.fetch_conflicts_of_order("O1")
    assert all(is_recent(conflict.offered_at) for conflict in conflicts)
    assert conflicts == [
        ConflictingOffer(
            batch_id=batch_id,
            account_id="A2",
            amount_minor=amount_minor,
            currency="USD",
            offered_at=conflict.offered_at,
        )
        for batch_id, amount_minor, conflict in zip(("B2", "B3"), (101, 103), conflicts, strict=True)
    ]
    assert (await store.batches.fetch_batch("B2")).conflict_count == 2
    assert await store.orders.fetch_conflicts_of_order("O2") == await store.orders.fetch_conflicts_of_order("O3") == []


async def test_of_many_conflicting_offers_the_newest_are_told(
    store: SettlementStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ORDER_LIFE_ROW_COUNT_MAX", 2)
    await settle(store, ["O1"], "B1")
    for n in range(2, 5):
        await store.filling.open_batch(opening_of(f"B{n}"))
        await store.filling.append_orders(f"B{n}", [order_of("O1", currency="EUR")])
    assert [conflict.batch_id for conflict in await store.orders.fetch_conflicts_of_order("O1")] == ["B3", "B4"]
