"""The contract of the settlement store's port for reads of items."""

from domain.control_totals import totals_of
from schemas.audit import LatestItem
from schemas.batches import BatchProgress
from schemas.item_outcomes import PENDING
from schemas.wire.batches import BatchState
from schemas.wire.reasons import Outcome, ReasonCode
from settlement_store.port import SettlementStore
from tests.contract.settlement_batches import (
    ORDER_IDS,
    close_batch,
    failed,
    held,
    opening_of,
    order_of,
    orders_of,
    rejected,
    run_batch,
    run_chunk,
    settle,
)
from tests.support.settlements import CALENDAR


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
        await store.batches.set_running("B1")
        await store.chunks.store_validation("B1", 0, [rejected(0)])
        assert await progress() == expected(chunk_count=2, rejected=1)
        await store.chunks.store_outcomes("B1", 0, [failed(1)])
        assert await progress() == expected(chunk_count=2, chunk_closed_count=1, rejected=1, failed=1, settled=1)
        await store.chunks.hold_chunk("B1", 1, "why")
        await close_batch(store, "B1")
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
        expected = LatestItem("O1", "B2", opened_at, PENDING, None, "A2", 7, "EUR")
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
        await close_batch(store, "B2", balanced=False)
        await store.filling.open_batch(opening_of("B3"))
        await store.filling.append_orders("B3", orders_of("O7"))
        assert await store.audit.fetch_store_breaks(10) == []
        planned = totals_of([("USD", 3, 300)])
        assert await store.batches.fetch_planned_totals("B2") == planned
