"""The contract of the settlement store's port for reruns."""

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain.business_days import BusinessCalendar
from domain.errors import BatchMismatchError, BatchNotFoundError, BatchNotOpenError
from schemas.items import ExceptionItem, RerunItem, StoredException
from schemas.wire.batches import BatchOpening, BatchSource, RerunSelection
from schemas.wire.isolation import ItemRange
from schemas.wire.reasons import Outcome, ReasonCode
from settlement_store.port import SettlementStore
from tests.contract.settlement_batches import opening_of, order_of, orders_of, outcomes_of, run_chunk, settle
from tests.support.settlements import CALENDAR

ALL = (Outcome.REJECTED, Outcome.FAILED, Outcome.HELD)
EXCEPTIONS = [
    ExceptionItem(1, Outcome.REJECTED, ReasonCode.ACCOUNT_CLOSED),
    ExceptionItem(2, Outcome.FAILED, ReasonCode.DATA_ERROR),
    ExceptionItem(3, Outcome.HELD, ReasonCode.PAYLOAD_CONFLICT),
]


def selection_of(batch_id: str = "B1", **changes: Any) -> RerunSelection:
    return RerunSelection(batch_id=batch_id, outcomes=ALL).model_copy(update=changes)


def rerun_opening(batch_id: str = "R1", **changes: Any) -> BatchOpening:
    return opening_of(
        batch_id,
        source=BatchSource.RERUN,
        business_date=None,
        cutoff_at=None,
        rerun=selection_of(),
        **changes,
    )


def again(exception: StoredException, **changes: Any) -> RerunItem:
    """Return the rerun item of an exception, with its frozen payload."""
    item = RerunItem(
        exception.order_id,
        exception.claim_no,
        exception.account_id,
        exception.amount_minor,
        exception.currency,
        inherits_unknown=exception.reason_code == ReasonCode.PAYLOAD_CONFLICT,
    )
    return item._replace(**changes)


async def exceptions_of(store: SettlementStore, batch_id: str = "B1") -> list[StoredException]:
    return await store.filling.fetch_exceptions(batch_id, -1, 100)


async def settle_with_exceptions(store: SettlementStore) -> list[StoredException]:
    """Close a chunk with O0 settled, O1 rejected at validation, O2 rejected, O3 failed and O4 held."""
    rejects = [ExceptionItem(0, Outcome.REJECTED, ReasonCode.ORDER_DISPUTED)]
    await settle(store, [f"O{n}" for n in range(5)], "B1", rejects, EXCEPTIONS)
    return await exceptions_of(store)


async def pending_of(store: SettlementStore, batch_id: str) -> list[tuple[int, str, int, bool]]:
    item_count = (await store.batches.fetch_batch(batch_id)).item_count
    items = await store.chunks.fetch_pending_items(batch_id, ItemRange(0, item_count))
    return [(item.item_no, item.order_id, item.claim_no, item.inherits_unknown) for item in items]


async def test_exceptions_are_read_in_slices_in_their_order(store: SettlementStore) -> None:
    found = await settle_with_exceptions(store)
    assert [(each.order_id, each.outcome, each.reason_code) for each in found] == [
        ("O0", "rejected", "ORDER_DISPUTED"),
        ("O1", "rejected", "ACCOUNT_CLOSED"),
        ("O2", "failed", "DATA_ERROR"),
        ("O3", "held", "PAYLOAD_CONFLICT"),
    ]
    assert all(each.is_latest and each.claim_no == 1 and each.amount_minor == 100 for each in found)
    assert await store.filling.fetch_exceptions("B1", 0, 2) == found[1:3]
    with pytest.raises(BatchNotFoundError):
        await exceptions_of(store, "nowhere")


async def test_a_rerun_takes_exceptions_with_the_next_claim_number_and_todays_payload(store: SettlementStore) -> None:
    found = await settle_with_exceptions(store)
    await store.filling.open_batch(rerun_opening())
    offered = [again(found[3]), again(found[1], amount_minor=70)]
    assert await store.filling.append_rerun_items("R1", offered) == {"O1", "O3"}
    assert await pending_of(store, "R1") == [(0, "O1", 2, False), (1, "O3", 2, True)]
    planned = await store.batches.fetch_planned_totals("R1")
    assert (planned.order_count, planned.amount_minor) == (2, {"USD": 170})
    outcomes = await outcomes_of(store)
    assert (outcomes["O1"], outcomes["O3"]) == (("pending", None), ("pending", None))
    assert outcomes["O0"] == ("rejected", "ORDER_DISPUTED")
    assert [each.order_id for each in await exceptions_of(store) if each.is_latest] == ["O0", "O2"]
    assert await store.audit.fetch_store_breaks(10) == []


async def test_an_order_is_taken_by_one_rerun_only_whoever_comes_at_once(store: SettlementStore) -> None:
    found = await settle_with_exceptions(store)
    for batch_id in ("R1", "R2", "R3"):
        await store.filling.open_batch(rerun_opening(batch_id))
    taken = await asyncio.gather(
        *(
            store.filling.append_rerun_items(batch_id, [again(each) for each in found])
            for batch_id in ("R1", "R2", "R3", "R1")
        )
    )
    assert sorted(order_id for each in taken for order_id in each) == ["O0", "O1", "O2", "O3"]
    assert await store.audit.fetch_store_breaks(10) == []


async def test_an_order_that_came_in_again_is_not_taken_by_a_rerun_of_its_earlier_item(store: SettlementStore) -> None:
    found = await settle_with_exceptions(store)
    await settle(store, ["O1"], "B2", [ExceptionItem(0, Outcome.REJECTED, ReasonCode.ORDER_DISPUTED)])
    await store.filling.open_batch(rerun_opening())
    assert await store.filling.append_rerun_items("R1", [again(found[1])]) == frozenset()
    assert (await store.batches.fetch_batch("R1")).item_count == 0


async def test_an_append_and_a_rerun_at_once_take_each_order_once_and_never_deadlock(store: SettlementStore) -> None:
    order_ids = [f"O{n:03d}" for n in range(100)]
    rejects = [ExceptionItem(n, Outcome.REJECTED, ReasonCode.ORDER_DISPUTED) for n in range(100)]
    await settle(store, order_ids, "B1", rejects)
    found = await store.filling.fetch_exceptions("B1", -1, 1_000)
    await store.filling.open_batch(rerun_opening())
    await store.filling.open_batch(opening_of("B2"))
    taken, appended, taken_again = await asyncio.gather(
        store.filling.append_rerun_items("R1", [again(each) for each in found[::2]]),
        store.filling.append_orders("B2", [order_of(order_id) for order_id in reversed(order_ids)]),
        store.filling.append_rerun_items("R1", [again(each) for each in reversed(found)]),
    )
    assert len(taken) + appended.claimed_count + len(taken_again) == len(order_ids)
    assert appended.claimed_count + appended.duplicate_count == len(order_ids)
    assert await store.audit.fetch_store_breaks(10) == []


async def test_a_frozen_rerun_takes_no_more(store: SettlementStore) -> None:
    found = await settle_with_exceptions(store)
    await store.filling.open_batch(rerun_opening())
    await store.filling.freeze_batch("R1", CALENDAR)
    with pytest.raises(BatchNotOpenError):
        await store.filling.append_rerun_items("R1", [again(found[0])])
    assert (await exceptions_of(store))[0].is_latest
    with pytest.raises(BatchNotFoundError):
        await store.filling.append_rerun_items("nowhere", [again(found[0])])


async def test_freezing_gives_a_rerun_the_time_as_its_cutoff_and_the_business_date_of_it(
    store: SettlementStore,
) -> None:
    await settle_with_exceptions(store)
    opened = await store.filling.open_batch(rerun_opening())
    assert (opened.cutoff_at, opened.business_date) == (None, None)
    before = datetime.now(UTC)
    # The cutoff is one minute ahead, so the latest business date is yesterday.
    soon = (before + timedelta(minutes=1)).time()
    calendar = BusinessCalendar(time(soon.hour, soon.minute, soon.second), ZoneInfo("UTC"))
    await store.filling.freeze_batch("R1", calendar)
    frozen = await store.batches.fetch_batch("R1")
    plan = await store.batches.set_running("R1")
    assert frozen.cutoff_at
    assert abs(frozen.cutoff_at - before) < timedelta(seconds=30)
    assert frozen.business_date == calendar.latest_business_date(frozen.cutoff_at)
    assert frozen.business_date < (before + timedelta(minutes=1)).date()
    assert plan.business_date == frozen.business_date
    await store.filling.freeze_batch("R1", CALENDAR)
    assert (await store.batches.fetch_batch("R1")).cutoff_at == frozen.cutoff_at
    assert (await store.filling.open_batch(rerun_opening())).cutoff_at == frozen.cutoff_at


async def test_a_batch_with_a_cutoff_of_its_own_keeps_it_when_it_is_frozen(store: SettlementStore) -> None:
    await run_chunk(store, orders_of("O1"), batch_id="B1")
    batch = await store.batches.fetch_batch("B1")
    assert (batch.business_date, batch.cutoff_at) == (date(2026, 11, 22), opening_of().cutoff_at)


@pytest.mark.parametrize(
    "selection",
    [
        selection_of(outcomes=(Outcome.HELD,)),
        selection_of(reason_code=ReasonCode.ACCOUNT_CLOSED),
        selection_of(batch_id="B2"),
    ],
)
async def test_a_rerun_of_other_items_cannot_have_the_id(store: SettlementStore, selection: RerunSelection) -> None:
    await store.filling.open_batch(rerun_opening())
    with pytest.raises(BatchMismatchError):
        await store.filling.open_batch(rerun_opening().model_copy(update={"rerun": selection}))


async def test_an_item_that_inherits_the_unknown_stays_unknown_when_its_chunk_is_held(store: SettlementStore) -> None:
    found = await settle_with_exceptions(store)
    await store.filling.open_batch(rerun_opening())
    await store.filling.append_rerun_items("R1", [again(found[1]), again(found[3])])
    await store.filling.freeze_batch("R1", CALENDAR)
    await store.batches.set_running("R1")
    await store.chunks.hold_chunk("R1", 0, "terminated before its validation")
    outcomes = await outcomes_of(store)
    assert outcomes["O1"] == ("held", "NOT_ATTEMPTED")
    assert outcomes["O3"] == ("held", "OUTCOME_UNKNOWN")
    assert await store.audit.fetch_store_breaks(10) == []
