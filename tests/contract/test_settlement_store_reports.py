"""The contract of the settlement store's port for reports."""

import asyncio

import pytest

from domain.control_totals import totals_of
from domain.errors import InvariantViolationError
from schemas.batches import KeptReport
from schemas.item_outcomes import ITEM_OUTCOME_BY_TEXT
from schemas.items import LaterItemGroup
from schemas.wire.batches import BatchSource, BatchState, RerunSelection
from schemas.wire.reasons import Outcome
from settlement_store.port import SettlementStore
from tests.contract.settlement_batches import (
    close_batch,
    closing_report_of,
    failed,
    held,
    opening_of,
    order_of,
    orders_of,
    rejected,
    report_of_nothing,
    run_batch,
    settle,
)

ORDER_IDS = [f"O{n}" for n in range(6)]


async def groups_of(store: SettlementStore, after_item_no: int = -1, count: int = 100) -> set[LaterItemGroup]:
    """Return the groups of B1, each with its order ids sorted."""
    found = await store.reports.fetch_later_item_groups("B1", after_item_no, count)
    groups = [group._replace(order_ids=tuple(sorted(group.order_ids))) for group in found]
    assert len({group[:3] for group in groups}) == len(groups)
    return set(groups)


def group(
    outcome: str, *order_ids: str, came_again: bool = False, last: int, amount_minor: int = 100
) -> LaterItemGroup:
    return LaterItemGroup(
        came_again, ITEM_OUTCOME_BY_TEXT[outcome], "USD", amount_minor * len(order_ids), order_ids, last
    )


class TestKept:
    @pytest.mark.parametrize("balanced", [True, False])
    async def test_closing_keeps_the_report_with_the_final_state_and_its_time(
        self, store: SettlementStore, *, balanced: bool
    ) -> None:
        await settle(store, ORDER_IDS, "B1", [rejected(0)], [held(3)])
        assert await store.reports.fetch_kept_reports(["B1"]) == {}
        report = await closing_report_of(store, "B1", balanced=balanced)
        batch = await store.batches.close_batch(report)
        assert batch.state in (BatchState.CLOSED, BatchState.OUT_OF_BALANCE)
        kept = report.model_copy(update={"state": batch.state, "closed_at": batch.closed_at})
        assert await store.reports.fetch_kept_reports(["B1"]) == {"B1": KeptReport(kept)}
        assert await store.audit.fetch_store_breaks(10) == []

    async def test_who_closes_second_changes_nothing_of_the_report(self, store: SettlementStore) -> None:
        await settle(store, ORDER_IDS, "B1")
        reports = [report_of_nothing("B1", duplicates=n, chunks=n) for n in range(4)]
        await asyncio.gather(*(store.batches.close_batch(report) for report in reports))
        kept = await store.reports.fetch_kept_reports(["B1"])
        await store.batches.close_batch(report_of_nothing("B1", duplicates=9, balanced=False))
        assert await store.reports.fetch_kept_reports(["B1"]) == kept
        assert kept["B1"].report.duplicates == kept["B1"].report.chunks

    async def test_a_batch_that_is_not_closed_keeps_no_report(self, store: SettlementStore) -> None:
        await run_batch(store, orders_of(*ORDER_IDS))
        with pytest.raises(InvariantViolationError):
            await store.batches.close_batch(report_of_nothing("B1"))
        assert await store.reports.fetch_kept_reports(["B1"]) == {}

    async def test_a_balanced_report_with_pending_items_closes_nothing(self, store: SettlementStore) -> None:
        await settle(store, ORDER_IDS, "B1")
        pending = totals_of([("USD", 1, 100)])
        with pytest.raises(InvariantViolationError, match="1 of its items are pending"):
            await store.batches.close_batch(report_of_nothing("B1", pending=pending))
        assert (await store.batches.fetch_batch("B1")).state == BatchState.RUNNING
        report = report_of_nothing("B1", pending=pending, balanced=False)
        assert (await store.batches.close_batch(report)).state == BatchState.OUT_OF_BALANCE

    async def test_reports_are_read_of_the_batches_that_were_asked_for(self, store: SettlementStore) -> None:
        for batch_id in ("B1", "B2", "B3"):
            await settle(store, [f"{batch_id}-O"], batch_id)
            await close_batch(store, batch_id)
        kept = await store.reports.fetch_kept_reports(["B1", "B3", "none"])
        assert {batch_id: each.report.batch_id for batch_id, each in kept.items()} == {"B1": "B1", "B3": "B3"}
        assert await store.reports.fetch_kept_reports([]) == {}


class TestLaterItems:
    async def test_an_exception_item_is_told_with_its_own_outcome_until_its_order_comes_again(
        self, store: SettlementStore
    ) -> None:
        await settle(store, ORDER_IDS, "B1", [rejected(0), rejected(1)], [failed(2), held(3)])
        await close_batch(store, "B1")
        assert await groups_of(store) == {
            group("rejected", "O0", "O1", last=1),
            group("failed", "O2", last=2),
            group("held", "O3", last=3),
        }

    async def test_an_order_that_came_again_is_told_with_its_latest_item(self, store: SettlementStore) -> None:
        await settle(store, ORDER_IDS, "B1", [rejected(0), rejected(1), rejected(5)], [failed(2), held(3)])
        await close_batch(store, "B1")
        await settle(store, ["O0", "O1"], "B2", [rejected(1)])
        await run_batch(store, [order_of("O1", amount_minor=7), order_of("O2", amount_minor=11)], batch_id="B3")
        assert await groups_of(store) == {
            group("settled", "O0", came_again=True, last=0),
            group("pending", "O1", "O2", came_again=True, last=2, amount_minor=9),
            group("held", "O3", last=3),
            group("rejected", "O5", last=5),
        }

    async def test_they_come_slice_by_slice_in_the_order_of_the_items(self, store: SettlementStore) -> None:
        await settle(store, ORDER_IDS, "B1", [rejected(0), rejected(2), rejected(4)])
        await settle(store, ["other"], "B2", [rejected(0)])
        assert await groups_of(store, -1, 2) == {group("rejected", "O0", "O2", last=2)}
        assert await groups_of(store, 2, 2) == {group("rejected", "O4", last=4)}
        assert await groups_of(store, 4, 2) == set()

    async def test_a_batchs_reruns_are_told_newest_first(self, store: SettlementStore) -> None:
        await settle(store, ["O1"], "B1", [rejected(0)])
        await settle(store, ["O2"], "B2", [rejected(0)])
        for rerun_id, batch_id in (("R1", "B1"), ("R2", "B2"), ("R3", "B1"), ("R4", "B1")):
            selection = RerunSelection(batch_id=batch_id, outcomes=(Outcome.REJECTED,))
            await store.filling.open_batch(opening_of(rerun_id, source=BatchSource.RERUN, rerun=selection))
        assert await store.reports.fetch_rerun_ids("B1", 2) == ["R4", "R3"]
        assert await store.reports.fetch_rerun_ids("none", 2) == []
