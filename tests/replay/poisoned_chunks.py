"""Chunks whose data make a step fail or whose credits are not answered, recorded by `record_histories`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import NamedTuple
from zoneinfo import ZoneInfo

from temporalio.client import Client

from domain import limits
from domain.batch_openings import BatchSettings
from domain.business_days import BusinessCalendar
from domain.errors import DataError, UnansweredError
from domain.identifiers import chunk_workflow_id
from schemas.items import OfferedOrder
from schemas.ledger import AccountOpening, CreditRequest, CreditResultCode
from schemas.orders import FetchedRecord, OrderRecord, OrderStatus
from schemas.wire.batches import BatchOpening, BatchSource
from schemas.wire.payloads import ChunkRun
from settling.systems import Systems
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.doubles.order_center import MemoryOrderCenter
from tests.doubles.settlement_store import MemorySettlementStore
from tests.support.settlements import replaced
from workers.settlement_worker import build_worker
from workflows.settle_chunk import SettleChunkWorkflow

TASK_QUEUE = "record-chunks"
BATCH_SETTINGS = BatchSettings(BusinessCalendar(time(), ZoneInfo("UTC")), chunk_size=8, window=1)
CUTOFF_AT = datetime(2026, 11, 22, tzinfo=UTC)
ORDER_COUNT = 8
POISON_ORDER_ID = "order-5"


class PoisonedOrderCenter(MemoryOrderCenter):
    """Cannot read the poison orders."""

    def __init__(self, *poison_order_ids: str) -> None:
        super().__init__()
        self._poison_order_ids = poison_order_ids

    async def fetch_records(self, order_ids: Sequence[str]) -> list[FetchedRecord]:
        if not set(order_ids).isdisjoint(self._poison_order_ids):
            raise DataError("The poison order cannot be read.")
        return await super().fetch_records(order_ids)


def poisoned_fund_platform(error: Exception) -> MemoryFundPlatform:
    """Return a Fund Platform that cannot credit the poison order, or is down."""
    fund_platform = MemoryFundPlatform()

    async def post_credits(reference: str, requests: Sequence[CreditRequest]) -> Mapping[str, CreditResultCode]:
        if any(request.idempotency_key.endswith(POISON_ORDER_ID) for request in requests):
            raise error
        return await fund_platform.credits.post_credits(reference, requests)

    return replaced(fund_platform, "post_credits", post_credits)


class ChunkShape(NamedTuple):
    """The systems that a recorded chunk meets, and its bounds."""

    order_center: MemoryOrderCenter
    fund_platform: MemoryFundPlatform
    probe_count_max: int = limits.CHUNK_PROBE_COUNT_MAX
    credit_deadline_s: float = limits.CREDIT_DEADLINE_DEFAULT_S


CHUNK_SHAPES: dict[str, ChunkShape] = {
    "chunk-poisoned-in-validation": ChunkShape(PoisonedOrderCenter(POISON_ORDER_ID), MemoryFundPlatform()),
    "chunk-poisoned-in-crediting": ChunkShape(MemoryOrderCenter(), poisoned_fund_platform(DataError("It is poison."))),
    "chunk-past-the-bound": ChunkShape(
        PoisonedOrderCenter(*(f"order-{n}" for n in range(ORDER_COUNT))), MemoryFundPlatform(), probe_count_max=3
    ),
    "chunk-unanswered": ChunkShape(
        MemoryOrderCenter(), poisoned_fund_platform(UnansweredError("It hung up.")), credit_deadline_s=0
    ),
}


async def settle_chunk(client: Client, name: str) -> str:
    """Settle a batch's only chunk with only its workflow, and return the workflow's id."""
    order_center, fund_platform, probe_count_max, credit_deadline_s = CHUNK_SHAPES[name]
    store = MemorySettlementStore()
    await fund_platform.accounts.open_accounts([AccountOpening("account-1", "USD")])
    records = [
        OrderRecord(f"order-{n}", "account-1", 1000 + n, 0, "USD", OrderStatus.COMPLETED, CUTOFF_AT, CUTOFF_AT)
        for n in range(ORDER_COUNT)
    ]
    await order_center.load_records(records)
    opening = BatchOpening(
        batch_id=name, source=BatchSource.KAFKA, business_date=None, cutoff_at=None, chunk_size=ORDER_COUNT, window=1
    )
    await store.filling.open_batch(opening)
    await store.filling.append_orders(name, [OfferedOrder(*record[:3], record.currency) for record in records])
    await store.filling.freeze_batch(name, BATCH_SETTINGS.calendar)
    await store.batches.set_running(name)
    async with build_worker(client, TASK_QUEUE, Systems(order_center, store, fund_platform), BATCH_SETTINGS):
        handle = await client.start_workflow(
            SettleChunkWorkflow.run,
            ChunkRun(
                batch_id=name,
                chunk_index=0,
                probe_count_max=probe_count_max,
                credit_deadline_s=credit_deadline_s,
            ),
            id=chunk_workflow_id(name, 0),
            task_queue=TASK_QUEUE,
        )
        await handle.result()
    return handle.id
