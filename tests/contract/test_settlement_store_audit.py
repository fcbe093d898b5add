"""The contract of the settlement store's port for the audit of corrupted data."""

from collections import Counter

from database.pools import Pool
from schemas.item_outcomes import MISSING
from schemas.wire.reasons import Outcome
from settlement_store.port import SettlementStore
from tests.contract.adapters import not_in_memory
from tests.contract.settlement_batches import ORDER_IDS, outcomes_of, settle


@not_in_memory("in memory the item that a claim names is never missing")
async def test_an_order_whose_item_is_gone_is_told_as_missing_and_no_item_is_told_of_it(
    store: SettlementStore, store_pool: Pool
) -> None:
    await settle(store, ["O1", "O2"], "B1")
    await store_pool.execute("DELETE FROM items WHERE order_id = 'O1'")
    assert await outcomes_of(store) == {"O1": (MISSING, None), "O2": (Outcome.SETTLED, None)}
    item = await store.audit.fetch_item_of_order("O1")
    assert item
    assert item.outcome == MISSING
    assert await store.orders.fetch_items_of_order("O1") == []


@not_in_memory("in memory everything is derived from the items, so nothing can contradict them")
async def test_what_contradicts_the_items_is_a_break_bounded_by_kind(store: SettlementStore, store_pool: Pool) -> None:
    await settle(store, ORDER_IDS, "B1")
    assert await store.audit.fetch_store_breaks(2) == []
    await store_pool.execute("DELETE FROM claims")
    await store_pool.execute("UPDATE planned_totals SET order_count = order_count + 1")
    kinds = Counter(found.kind for found in await store.audit.fetch_store_breaks(2))
    assert kinds == {"claim_missing": 2, "planned_total_changed": 1}
