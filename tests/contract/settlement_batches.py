"""Batches in every state, made through the settlement store's port alone."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from schemas.batches import Batch
from schemas.items import ExceptionItem, Item, OfferedOrder
from schemas.outbox import StoredOutcome
from schemas.wire.batches import BatchOpening, BatchSource, BatchState
from schemas.wire.isolation import ItemRange
from schemas.wire.reasons import Outcome, ReasonCode
from schemas.wire.reports import BatchReport
from schemas.wire.totals import ControlTotals
from settlement_store.port import SettlementStore
from settling.balancing import check_balance
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.support.settlements import CALENDAR

CUTOFF = datetime(2026, 11, 22, tzinfo=UTC)
ORDER_IDS = [f"O{n}" for n in range(5)]


def opening_of(batch_id: str = "B1", **changes: Any) -> BatchOpening:
    opening = BatchOpening(
        batch_id=batch_id,
        source=BatchSource.MANUAL,
        business_date=date(2026, 11, 22),
        cutoff_at=CUTOFF,
        chunk_size=3,
        window=2,
    )
    return opening.model_copy(update=changes)


def order_of(order_id: str, **changes: Any) -> OfferedOrder:
    return OfferedOrder(order_id, "A1", 100, "USD")._replace(**changes)


def orders_of(*order_ids: str) -> list[OfferedOrder]:
    return [order_of(order_id) for order_id in order_ids]


def rejected(item_no: int) -> ExceptionItem:
    return ExceptionItem(item_no, Outcome.REJECTED, ReasonCode.ORDER_DISPUTED)


def failed(item_no: int) -> ExceptionItem:
    return ExceptionItem(item_no, Outcome.FAILED, ReasonCode.DATA_ERROR)


def held(item_no: int) -> ExceptionItem:
    return ExceptionItem(item_no, Outcome.HELD, ReasonCode.PAYLOAD_CONFLICT)


async def run_batch(store: SettlementStore, orders: list[OfferedOrder], **changes: Any) -> str:
    """Make a running batch of these orders."""
    opening = opening_of(**changes)
    await store.filling.open_batch(opening)
    await store.filling.append_orders(opening.batch_id, orders)
    await store.filling.freeze_batch(opening.batch_id, CALENDAR)
    await store.batches.set_running(opening.batch_id)
    return opening.batch_id


async def run_chunk(store: SettlementStore, orders: list[OfferedOrder], **changes: Any) -> str:
    """Make a running batch of one chunk."""
    return await run_batch(store, orders, chunk_size=100, **changes)


async def settle(
    store: SettlementStore,
    order_ids: list[str],
    batch_id: str,
    rejects: list[ExceptionItem] | None = None,
    exceptions: list[ExceptionItem] | None = None,
) -> str:
    """Make a batch of one closed chunk."""
    await run_chunk(store, orders_of(*order_ids), batch_id=batch_id)
    await store.chunks.store_validation(batch_id, 0, rejects or [])
    await store.chunks.store_outcomes(batch_id, 0, exceptions or [])
    return batch_id


async def close_batch(store: SettlementStore, batch_id: str, *, balanced: bool = True) -> Batch:
    """Close a batch with its own report, as if the ledger agreed or did not."""
    return await store.batches.close_batch(await closing_report_of(store, batch_id, balanced=balanced))


async def closing_report_of(store: SettlementStore, batch_id: str, *, balanced: bool = True) -> BatchReport:
    """Return the report for closing a batch, as if the ledger agreed or did not."""
    report = await check_balance(store, MemoryFundPlatform(), batch_id)
    ledger = report.settled if balanced else report.ledger
    return report.model_copy(update={"balanced": balanced, "ledger": ledger})


def report_of_nothing(batch_id: str, **changes: Any) -> BatchReport:
    """Return a report of a batch without items."""
    nothing = ControlTotals()
    report = BatchReport(
        batch_id=batch_id,
        source=BatchSource.MANUAL,
        state=BatchState.RUNNING,
        business_date=None,
        rerun_of=None,
        planned=nothing,
        settled=nothing,
        rejected=nothing,
        failed=nothing,
        held=nothing,
        pending=nothing,
        unconfirmed=nothing,
        ledger=nothing,
        duplicates=0,
        conflicts=0,
        balanced=True,
        reasons={},
        chunks=0,
        started_at=None,
        closed_at=None,
    )
    return report.model_copy(update=changes)


async def items_of(store: SettlementStore, batch_id: str) -> Sequence[Item]:
    """Return all items of a batch that has no outcome yet."""
    item_count = (await store.batches.fetch_batch(batch_id)).item_count
    return await store.chunks.fetch_pending_items(batch_id, ItemRange(0, item_count))


async def outcomes_of(store: SettlementStore) -> dict[str, tuple[str, str | None]]:
    latest = await store.audit.fetch_latest_items("", 1_000)
    return {item.order_id: (item.outcome, item.reason_code) for item in latest}


async def everything_of(store: SettlementStore, batch_id: str) -> tuple[object, ...]:
    """Return everything that a lost step could have changed."""
    return (
        await store.batches.fetch_batch(batch_id),
        await store.batches.fetch_progress(batch_id),
        await store.batches.fetch_reason_counts(batch_id),
        await store.batches.fetch_planned_totals(batch_id),
        await store.audit.fetch_latest_items("", 1_000),
    )


async def deliver_all(store: SettlementStore) -> list[StoredOutcome]:
    """Deliver the whole outbox as the only relay, and return the outcomes in the order of their rows."""
    buckets = await store.outbox.lease_buckets("the-one-relay", 60)
    delivered = []
    while row := await store.outbox.fetch_outbox_row(buckets):
        delivered += await store.outbox.fetch_outcomes(row, row.buckets, row.item_start, row.item_end)
        await store.outbox.mark_delivered("the-one-relay", row.outbox_no, row.buckets)
    await store.outbox.release_buckets("the-one-relay")
    return delivered
