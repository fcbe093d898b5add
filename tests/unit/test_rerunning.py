"""A rerun is frozen even if some of its orders' records cannot be read."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from domain.errors import DataError, UnavailableError
from schemas.items import ExceptionItem, OfferedOrder
from schemas.orders import FetchedRecord, OrderRecord, OrderStatus
from schemas.wire.batches import BatchState
from schemas.wire.reasons import Outcome, ReasonCode
from settling.rerunning import freeze_rerun
from settling.systems import Systems
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.doubles.order_center import MemoryOrderCenter
from tests.doubles.settlement_store import MemorySettlementStore
from tests.support.settlements import CALENDAR, kafka_opening_of, rerun_opening_of

ENDED_AT = datetime(2020, 1, 1, tzinfo=UTC)
ORDER_IDS = [f"order-{number:02d}" for number in range(32)]
UNREADABLE = frozenset({"order-03", "order-04", "order-31"})
FROZEN_MINOR = 100
REPAIRED_MINOR = 200


class PartlyUnreadableOrderCenter(MemoryOrderCenter):
    """Fails for some records, and counts how often it is asked."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.read_count = 0
        self._error = error

    async def fetch_records(self, order_ids: Sequence[str]) -> list[FetchedRecord]:
        self.read_count += 1
        if UNREADABLE.intersection(order_ids):
            raise self._error
        return await super().fetch_records(order_ids)


async def freeze_after_repair(order_center: MemoryOrderCenter) -> MemorySettlementStore:
    """Fail every order of a batch, repair every record, and freeze a rerun of all of them."""
    store = MemorySettlementStore()
    await store.filling.open_batch(kafka_opening_of("failed"))
    await store.filling.append_orders(
        "failed", [OfferedOrder(each, "account-1", FROZEN_MINOR, "USD") for each in ORDER_IDS]
    )
    await store.filling.freeze_batch("failed", CALENDAR)
    await store.batches.set_running("failed")
    failures = [ExceptionItem(number, Outcome.FAILED, ReasonCode.DATA_ERROR) for number in range(len(ORDER_IDS))]
    await store.chunks.store_validation("failed", 0, failures)
    await order_center.load_records(
        [
            OrderRecord(each, "account-1", REPAIRED_MINOR, 0, "USD", OrderStatus.COMPLETED, ENDED_AT, ENDED_AT)
            for each in ORDER_IDS
        ]
    )
    opening = rerun_opening_of("rerun", "failed")
    systems = Systems(order_center, store, MemoryFundPlatform())
    await freeze_rerun(systems, opening, CALENDAR, after_item_no=-1, on_slice=lambda _: None)
    return store


async def test_records_that_cannot_be_read_do_not_keep_the_others_from_their_rerun() -> None:
    order_center = PartlyUnreadableOrderCenter(DataError("The row makes no sense."))
    store = await freeze_after_repair(order_center)
    assert (await store.batches.fetch_batch("rerun")).state == BatchState.FROZEN
    items = await store.chunks.fetch_pending_items("rerun", (await store.chunks.fetch_chunk("rerun", 0)).items)
    assert {item.order_id: item.amount_minor for item in items} == {
        each: FROZEN_MINOR if each in UNREADABLE else REPAIRED_MINOR for each in ORDER_IDS
    }
    assert order_center.read_count <= 1 + 2 * 5 * len(UNREADABLE), "five halvings of 32 orders for each"


async def test_an_order_center_that_is_away_is_asked_once_and_then_waited_for() -> None:
    order_center = PartlyUnreadableOrderCenter(UnavailableError("The Order Center is away."))
    with pytest.raises(UnavailableError):
        await freeze_after_repair(order_center)
    assert order_center.read_count == 1
