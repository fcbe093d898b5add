"""Validation of a Kafka batch's chunk acknowledges what it validated, once that is stored, and nothing newer."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import UnavailableError
from schemas.chunks import ChunkKey, ChunkState, StoredValidation
from schemas.items import ExceptionItem, OfferedOrder
from schemas.orders import OrderRecord, OrderStatus
from schemas.wire.batches import BatchOpening, BatchSource
from settling.systems import Systems
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.doubles.order_center import MemoryOrderCenter
from tests.doubles.settlement_store import MemorySettlementStore
from tests.doubles.settlement_store.chunks import MemoryChunks
from tests.support.settlements import CALENDAR
from tests.support.steps import validate

CUTOFF_AT = datetime(2026, 11, 22, tzinfo=UTC)
ENDED_AT = datetime(2026, 11, 1, tzinfo=UTC)
LATER = CUTOFF_AT + timedelta(days=30)
ORDER = OfferedOrder("order-1", "account-1", 100, "USD")
RECORD = OrderRecord("order-1", "account-1", 100, 0, "USD", OrderStatus.COMPLETED, ENDED_AT, ENDED_AT)
CHUNK = ChunkKey("B1", 0)


class MeddledChunks(MemoryChunks):
    """Runs a callback immediately before and after a validation is stored."""

    before: Callable[[], Awaitable[None]] | None = None
    after: Callable[[], Awaitable[None]] | None = None

    async def store_validation(
        self, batch_id: str, chunk_index: int, rejects: Sequence[ExceptionItem]
    ) -> StoredValidation:
        before, self.before = self.before, None
        if before:
            await before()
        stored = await super().store_validation(batch_id, chunk_index, rejects)
        if self.after:
            await self.after()
        return stored


@pytest.fixture
async def store() -> MemorySettlementStore:
    return await running_store(BatchSource.KAFKA)


async def running_store(source: BatchSource) -> MemorySettlementStore:
    """Return a store with a running batch of the one order."""
    store = MemorySettlementStore()
    await store.filling.open_batch(
        BatchOpening(batch_id="B1", source=source, business_date=None, cutoff_at=None, chunk_size=10, window=1)
    )
    await store.filling.append_orders("B1", [ORDER])
    await store.filling.freeze_batch("B1", CALENDAR)
    await store.batches.set_running("B1")
    return store


@pytest.fixture
def order_center() -> MemoryOrderCenter:
    return MemoryOrderCenter()


async def is_offered(order_center: MemoryOrderCenter) -> bool:
    return bool((await order_center.fetch_overdue_slice(LATER + timedelta(days=1), None, 10)).orders)


@pytest.mark.parametrize("status", OrderStatus)
async def test_an_order_that_is_as_announced_is_offered_no_more_whatever_became_of_it(
    store: MemorySettlementStore, order_center: MemoryOrderCenter, status: OrderStatus
) -> None:
    await order_center.load_records([RECORD._replace(status=status)])
    totals = await validate(Systems(order_center, store, MemoryFundPlatform()), CHUNK)
    assert totals.rejected.order_count == (status != OrderStatus.COMPLETED)
    assert not await is_offered(order_center)


@pytest.mark.parametrize(
    "record",
    [
        RECORD._replace(account_id="account-2"),
        RECORD._replace(refunded_minor=1),
        RECORD._replace(currency="EUR"),
        RECORD._replace(after_sale_ends_at=LATER),
    ],
    ids=["account", "amount", "currency", "after-sale"],
)
async def test_an_order_announced_wrongly_or_early_is_still_offered_as_recorded(
    store: MemorySettlementStore, order_center: MemoryOrderCenter, record: OrderRecord
) -> None:
    await order_center.load_records([record])
    totals = await validate(Systems(order_center, store, MemoryFundPlatform()), CHUNK)
    assert totals.rejected.order_count == 1
    assert await is_offered(order_center)


async def test_an_order_without_a_record_has_nothing_to_acknowledge(
    store: MemorySettlementStore, order_center: MemoryOrderCenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.limits.UNKNOWN_ORDER_PAUSES_S", ())
    totals = await validate(Systems(order_center, store, MemoryFundPlatform()), CHUNK)
    assert totals.rejected.order_count == 1
    await order_center.load_records([RECORD])
    assert await is_offered(order_center)


async def test_a_chunk_of_another_source_acknowledges_nothing(order_center: MemoryOrderCenter) -> None:
    store = await running_store(BatchSource.MANUAL)
    await order_center.load_records([RECORD])
    await validate(Systems(order_center, store, MemoryFundPlatform()), CHUNK)
    assert await is_offered(order_center)


async def test_a_record_that_changes_after_its_validation_is_still_offered(
    store: MemorySettlementStore, order_center: MemoryOrderCenter
) -> None:
    await order_center.load_records([RECORD])
    store.chunks = MeddledChunks(store.state)
    store.chunks.after = lambda: order_center.load_records([RECORD._replace(refunded_minor=1)])
    assert (await validate(Systems(order_center, store, MemoryFundPlatform()), CHUNK)).rejected.order_count == 0
    assert await is_offered(order_center)


async def test_nothing_is_acknowledged_before_its_step_is_stored(
    store: MemorySettlementStore, order_center: MemoryOrderCenter
) -> None:
    await order_center.load_records([RECORD])

    async def away() -> None:
        raise UnavailableError("It is away.")

    store.chunks = MeddledChunks(store.state)
    store.chunks.before = away
    with pytest.raises(UnavailableError):
        await validate(Systems(order_center, store, MemoryFundPlatform()), CHUNK)
    assert (await store.chunks.fetch_chunk("B1", 0)).state == ChunkState.PLANNED
    assert await is_offered(order_center)


@pytest.mark.parametrize(
    "change",
    [{"account_id": "account-2"}, {"refunded_minor": 1}, {"currency": "EUR"}, {"after_sale_ends_at": LATER}],
    ids=lambda change: next(iter(change)),
)
async def test_a_late_attempt_that_read_a_changed_record_does_not_acknowledge_the_change(
    store: MemorySettlementStore, order_center: MemoryOrderCenter, change: dict[str, object]
) -> None:
    await order_center.load_records([RECORD._replace(**change)])  # type: ignore[arg-type]

    async def another_attempt_wins() -> None:
        unchanged = MemoryOrderCenter()
        await unchanged.load_records([RECORD])
        assert (await validate(Systems(unchanged, store, MemoryFundPlatform()), CHUNK)).rejected.order_count == 0

    store.chunks = MeddledChunks(store.state)
    store.chunks.before = another_attempt_wins
    assert (await validate(Systems(order_center, store, MemoryFundPlatform()), CHUNK)).rejected.order_count == 0
    assert await is_offered(order_center)


async def test_a_late_attempt_that_read_a_repaired_record_leaves_its_order_offered(
    store: MemorySettlementStore, order_center: MemoryOrderCenter
) -> None:
    await order_center.load_records([RECORD])

    async def another_attempt_wins() -> None:
        disputed = MemoryOrderCenter()
        await disputed.load_records([RECORD._replace(status=OrderStatus.DISPUTED)])
        assert (await validate(Systems(disputed, store, MemoryFundPlatform()), CHUNK)).rejected.order_count == 1

    store.chunks = MeddledChunks(store.state)
    store.chunks.before = another_attempt_wins
    assert (await validate(Systems(order_center, store, MemoryFundPlatform()), CHUNK)).rejected.order_count == 1
    assert await is_offered(order_center)
