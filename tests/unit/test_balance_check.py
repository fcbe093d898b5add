"""A report is balanced at any moment, whatever other batches do meanwhile."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import pytest

from domain.control_totals import totals_of
from domain.identifiers import credit_key
from schemas.chunks import ChunkKey
from schemas.items import OfferedOrder
from schemas.ledger import AccountOpening, CreditRequest
from schemas.orders import OrderRecord, OrderStatus
from schemas.wire.batches import BatchOpening, BatchSource
from schemas.wire.totals import ControlTotals
from settling.balancing import check_balance
from settling.systems import Systems
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.doubles.order_center import MemoryOrderCenter
from tests.doubles.settlement_store import MemorySettlementStore
from tests.support.settlements import CALENDAR, replaced
from tests.support.steps import credit, validate

CUTOFF_AT = datetime(2026, 11, 22, tzinfo=UTC)
ENDED_AT = datetime(2026, 11, 1, tzinfo=UTC)
ORDER = OfferedOrder("order-1", "account-1", 100, "USD")


def meddled(fund_platform: MemoryFundPlatform, meddle: Callable[[], Awaitable[None]]) -> MemoryFundPlatform:
    """Return the Fund Platform with a change made immediately before its ledger is first read."""
    waiting = [meddle]

    async def fetch_credit_totals(idempotency_keys: Sequence[str]) -> ControlTotals:
        if waiting:
            await waiting.pop()()
        return await fund_platform.credits.fetch_credit_totals(idempotency_keys)

    return replaced(fund_platform, "fetch_credit_totals", fetch_credit_totals)


@pytest.fixture
def store() -> MemorySettlementStore:
    return MemorySettlementStore()


@pytest.fixture
def order_center() -> MemoryOrderCenter:
    return MemoryOrderCenter()


@pytest.fixture
async def fund_platform() -> MemoryFundPlatform:
    fund_platform = MemoryFundPlatform()
    await fund_platform.accounts.open_accounts([AccountOpening("account-1", "USD")])
    return fund_platform


async def freeze(store: MemorySettlementStore, batch_id: str) -> ChunkKey:
    await store.filling.open_batch(
        BatchOpening(
            batch_id=batch_id,
            source=BatchSource.MANUAL,
            business_date=CUTOFF_AT.date(),
            cutoff_at=CUTOFF_AT,
            chunk_size=10,
            window=1,
        )
    )
    await store.filling.append_orders(batch_id, [ORDER])
    await store.filling.freeze_batch(batch_id, CALENDAR)
    await store.batches.set_running(batch_id)
    return ChunkKey(batch_id, 0)


async def reject_in_first_batch(
    store: MemorySettlementStore, order_center: MemoryOrderCenter, fund_platform: MemoryFundPlatform
) -> None:
    await order_center.load_records([OrderRecord(*ORDER[:3], 0, "USD", OrderStatus.DISPUTED, ENDED_AT, ENDED_AT)])
    first = await freeze(store, "first")
    await validate(Systems(order_center, store, fund_platform), first)
    await credit(Systems(order_center, store, fund_platform), first)


async def test_a_rejected_order_that_another_batch_credits_meanwhile_is_no_imbalance(
    store: MemorySettlementStore, order_center: MemoryOrderCenter, fund_platform: MemoryFundPlatform
) -> None:
    await reject_in_first_batch(store, order_center, fund_platform)

    async def settle_in_second_batch() -> None:
        await order_center.load_records([OrderRecord(*ORDER[:3], 0, "USD", OrderStatus.COMPLETED, ENDED_AT, ENDED_AT)])
        second = await freeze(store, "second")
        await validate(Systems(order_center, store, fund_platform), second)
        await credit(Systems(order_center, store, fund_platform), second)

    report = await check_balance(store, meddled(fund_platform, settle_in_second_batch), "first")
    assert report.balanced
    assert report.ledger == ControlTotals()
    assert (await check_balance(store, fund_platform, "second")).ledger == totals_of([("USD", 1, 100)])


async def test_a_credit_of_a_rejected_order_that_stays_is_an_imbalance(
    store: MemorySettlementStore, order_center: MemoryOrderCenter, fund_platform: MemoryFundPlatform
) -> None:
    await reject_in_first_batch(store, order_center, fund_platform)
    await fund_platform.credits.post_credits(
        "by hand", [CreditRequest(credit_key("order-1"), 9, "account-1", 100, "USD")]
    )
    report = await check_balance(store, fund_platform, "first")
    assert not report.balanced
    assert report.ledger == totals_of([("USD", 1, 100)])


async def test_an_open_batch_that_grows_while_it_is_read_is_no_imbalance(
    store: MemorySettlementStore, fund_platform: MemoryFundPlatform
) -> None:
    await store.filling.open_batch(
        BatchOpening(
            batch_id="open",
            source=BatchSource.MANUAL,
            business_date=CUTOFF_AT.date(),
            cutoff_at=CUTOFF_AT,
            chunk_size=10,
            window=1,
        )
    )
    await store.filling.append_orders("open", [ORDER])

    async def append_another() -> None:
        await store.filling.append_orders("open", [ORDER._replace(order_id="order-2")])

    report = await check_balance(store, meddled(fund_platform, append_another), "open")
    assert report.balanced
    assert report.pending == report.planned == totals_of([("USD", 1, 100)])
