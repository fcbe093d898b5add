"""A small world for the audit: batches in every state with orders of every outcome, in three databases."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from database.pools import open_pool
from domain.identifiers import credit_key
from fund_platform.postgres import PostgresFundPlatform
from order_center.postgres import PostgresOrderCenter
from schemas.chunks import ChunkKey
from schemas.items import OfferedOrder
from schemas.ledger import AccountOpening, CreditRequest
from schemas.orders import OrderRecord, OrderStatus
from schemas.wire.batches import BatchOpening, BatchSource
from settlement_store.postgres import PostgresSettlementStore
from settling.balancing import check_balance
from settling.freezing import freeze_overdue_orders
from settling.reporting import fetch_since_closing
from settling.rerunning import freeze_rerun
from settling.systems import Systems
from tests.contract.settlement_batches import deliver_all
from tests.support import steps
from tests.support.databases import SCHEMA_BY_PACKAGE, DatabaseUrls
from tests.support.settlements import CALENDAR, rerun_opening_of
from tests.support.steps import validate

CUTOFF = datetime(2026, 11, 22, tzinfo=UTC)


@asynccontextmanager
async def open_ports_of(urls: DatabaseUrls) -> AsyncIterator[Systems]:
    async with AsyncExitStack() as opened:
        pools = [
            await opened.enter_async_context(
                await open_pool(getattr(urls, package), schema=schema, application_name="tests")
            )
            for package, schema in SCHEMA_BY_PACKAGE.items()
        ]
        order_center, fund_platform, store = pools
        yield Systems(
            PostgresOrderCenter(order_center), PostgresSettlementStore(store), PostgresFundPlatform(fund_platform)
        )


def opening_of(batch_id: str, chunk_size: int) -> BatchOpening:
    return BatchOpening(
        batch_id=batch_id,
        source=BatchSource.MANUAL,
        business_date=date(2026, 11, 22),
        cutoff_at=CUTOFF,
        chunk_size=chunk_size,
        window=2,
    )


def record_of(order_id: str, **changes: Any) -> OrderRecord:
    record = OrderRecord(
        order_id=order_id,
        account_id="A1",
        paid_minor=1000,
        refunded_minor=0,
        currency="USD",
        status=OrderStatus.COMPLETED,
        completed_at=CUTOFF - timedelta(days=20),
        after_sale_ends_at=CUTOFF - timedelta(days=1),
    )
    return record._replace(**changes)


def ref_of(batch_id: str, chunk_index: int) -> ChunkKey:
    return ChunkKey(batch_id, chunk_index)


async def freeze(ports: Systems, batch_id: str, chunk_size: int, *records: OrderRecord) -> None:
    """Make a running batch of these orders, through the Order Center."""
    await ports.order_center.load_records(records)
    opening = opening_of(batch_id, chunk_size)
    await freeze_overdue_orders(ports, opening, CALENDAR, None, on_slice=lambda _cursor: None)
    await ports.store.batches.set_running(batch_id)


async def settle_chunk(ports: Systems, batch_id: str, chunk_index: int) -> None:
    await validate(ports, ref_of(batch_id, chunk_index))
    await steps.credit(ports, ref_of(batch_id, chunk_index))


async def close(ports: Systems, batch_id: str) -> None:
    report = await check_balance(ports.store, ports.fund_platform, batch_id)
    await ports.store.batches.close_batch(report)


async def prune(ports: Systems, batch_id: str) -> None:
    await deliver_all(ports.store)
    assert await ports.store.pruning.begin_pruning(
        batch_id, await fetch_since_closing(ports.store, ports.fund_platform, batch_id)
    )
    while await ports.store.pruning.prune_chunks(batch_id):
        pass


async def credit(ports: Systems, order_id: str, claim_no: int = 1, **changes: Any) -> None:
    """Post a credit without Settle."""
    request = CreditRequest(credit_key(order_id), claim_no, "A1", 1000, "USD")._replace(**changes)
    await ports.fund_platform.credits.post_credits("a test", [request])


async def build_world(ports: Systems) -> None:
    """Make batches in every state with orders of every outcome.

    - B1, closed: O00 O01 O04 O06 settled; O02 O07 O08 rejected by validation, O03 by the Fund Platform; O05 held for
      a payload conflict; O09 to O11 held with credits, their outcome unknown; O12 O13 held and not attempted.
    - B2, closed: O07 again and O14 settled.
    - B3, running: O20 O21 settled; O22 rejected, O23 pending with a credit; O24 O25 pending, not validated.
    - B5, closed and pruned: O40 held with a credit, its outcome unknown, O41 held and not attempted; both settled by
      its rerun R1.
    - B6, closed and pruned: O50 settled, O51 rejected by validation.
    - B4, open: O30 O31 pending; O00 offered again, once unchanged and once changed.
    """
    await ports.fund_platform.accounts.open_accounts(
        [AccountOpening("A1", "USD"), AccountOpening("A2", "EUR"), AccountOpening("closed", "USD")]
    )
    await ports.fund_platform.accounts.close_account("closed")
    await credit(ports, "O05", amount_minor=999)
    disputed: dict[str, Any] = {"status": OrderStatus.DISPUTED}
    changes: dict[str, dict[str, Any]] = {
        "O01": {"account_id": "A2", "currency": "EUR", "paid_minor": 70},
        "O02": disputed,
        "O03": {"account_id": "closed"},
        "O07": disputed,
        "O08": disputed,
    }
    order_ids = [f"O{n:02d}" for n in range(14)]
    await freeze(ports, "B1", 4, *(record_of(order_id, **changes.get(order_id, {})) for order_id in order_ids))
    await settle_chunk(ports, "B1", 0)
    await settle_chunk(ports, "B1", 1)
    await validate(ports, ref_of("B1", 2))
    for order_id in ("O09", "O10", "O11"):
        await credit(ports, order_id)
    await ports.store.chunks.hold_chunk("B1", 2, "the answer was lost")
    await ports.store.chunks.hold_chunk("B1", 3, "the worker was lost")
    await close(ports, "B1")

    await freeze(ports, "B2", 2, record_of("O07"), record_of("O14"))
    await settle_chunk(ports, "B2", 0)
    await close(ports, "B2")

    await freeze(ports, "B3", 2, record_of("O22", **disputed), *map(record_of, ("O20", "O21", "O23", "O24", "O25")))
    await settle_chunk(ports, "B3", 0)
    await validate(ports, ref_of("B3", 1))
    await credit(ports, "O23")

    await freeze(ports, "B5", 1, record_of("O40"), record_of("O41"))
    await validate(ports, ref_of("B5", 0))
    await credit(ports, "O40")
    await ports.store.chunks.hold_chunk("B5", 0, "the answer was lost")
    await ports.store.chunks.hold_chunk("B5", 1, "the worker was lost")
    await close(ports, "B5")
    rerun = rerun_opening_of("R1", "B5", chunk_size=2)
    await freeze_rerun(ports, rerun, CALENDAR, -1, on_slice=lambda _item_no: None)
    await ports.store.batches.set_running("R1")
    await settle_chunk(ports, "R1", 0)
    await close(ports, "R1")
    await prune(ports, "B5")

    await freeze(ports, "B6", 2, record_of("O50"), record_of("O51", **disputed))
    await settle_chunk(ports, "B6", 0)
    await close(ports, "B6")
    await prune(ports, "B6")

    await ports.store.filling.open_batch(opening_of("B4", 2))
    for amount_minor in (1000, 1001):
        offered = [OfferedOrder(order_id, "A1", amount_minor, "USD") for order_id in ("O00", f"O3{amount_minor % 10}")]
        await ports.store.filling.append_orders("B4", offered)
