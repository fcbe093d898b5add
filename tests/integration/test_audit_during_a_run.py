"""The audit is clean at any moment: between any two steps of a run, and concurrently with runs."""

import asyncio
import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import count
from typing import Any

import pytest

from domain import limits
from domain.control_totals import sum_totals
from domain.identifiers import credit_key
from schemas.audit import AuditReport
from schemas.items import OfferedOrder
from schemas.ledger import AccountOpening, CreditRequest
from schemas.orders import OrderRecord, OrderStatus
from settling.auditing import audit
from settling.freezing import freeze_overdue_orders
from settling.systems import Systems
from tests.doubles.fund_platform import MemoryFundPlatform
from tests.doubles.order_center import MemoryOrderCenter
from tests.doubles.settlement_store import MemorySettlementStore
from tests.integration.audit_world import (
    close,
    open_ports_of,
    opening_of,
    record_of,
    ref_of,
    settle_chunk,
)
from tests.support import steps
from tests.support.databases import DatabaseUrls
from tests.support.settlements import CALENDAR

Step = Callable[[], Awaitable[object]]


def assert_clean(report: AuditReport) -> None:
    assert report.breaks == []
    assert report.ok
    by_outcome = [report.settled, report.rejected, report.failed, report.held, report.pending]
    assert report.orders == sum_totals(by_outcome).order_count
    assert report.ledger == sum_totals([report.settled, report.unconfirmed])
    assert (report.oldest_pending_at is None) == (report.pending.order_count == 0)


def records_of(rng: random.Random, order_ids: Sequence[str]) -> list[OrderRecord]:
    """Return orders that are mostly payable. The others are rejected by validation or because of their account."""
    rejects: list[dict[str, Any]] = [{"status": OrderStatus.DISPUTED}, {"account_id": "closed"}, {"account_id": "none"}]
    payable: list[dict[str, Any]] = [{}, {}, {}, {"account_id": "A2", "currency": "EUR"}]
    return [record_of(order_id, **rng.choice(rejects + payable)) for order_id in order_ids]


async def count_orders(ports: Systems) -> int:
    return len(await ports.store.audit.fetch_latest_items("", 10_000))


async def open_accounts(ports: Systems) -> None:
    openings = [AccountOpening("A1", "USD"), AccountOpening("A2", "EUR"), AccountOpening("closed", "USD")]
    await ports.fund_platform.accounts.open_accounts(openings)
    await ports.fund_platform.accounts.close_account("closed")


async def append(ports: Systems, batch_id: str, records: Sequence[OrderRecord]) -> None:
    await ports.order_center.load_records(records)
    offered = [OfferedOrder(r.order_id, r.account_id, r.paid_minor - r.refunded_minor, r.currency) for r in records]
    await ports.store.filling.append_orders(batch_id, offered)


async def request_credits(ports: Systems, batch_id: str, chunk_index: int) -> None:
    """Request credits like a worker that is lost before it stores the answers."""
    chunk = await ports.store.chunks.fetch_chunk(batch_id, chunk_index)
    items = await ports.store.chunks.fetch_pending_items(batch_id, chunk.items)
    requests = [
        CreditRequest(credit_key(i.order_id), i.claim_no, i.account_id, i.amount_minor, i.currency) for i in items
    ]
    await ports.fund_platform.credits.post_credits("a test", requests)


def steps_of_chunk(rng: random.Random, ports: Systems, batch_id: str, chunk_index: int) -> list[Step]:
    """Return a chunk's steps: to its end, or held before or after validation. Some repeat, as by zombies."""
    ref = ref_of(batch_id, chunk_index)
    validate: Step = lambda: steps.validate(ports, ref)  # noqa: E731
    request: Step = lambda: request_credits(ports, batch_id, chunk_index)  # noqa: E731
    store: Step = lambda: steps.credit(ports, ref)  # noqa: E731
    hold: Step = lambda: ports.store.chunks.hold_chunk(batch_id, chunk_index, "a test")  # noqa: E731
    return rng.choice(
        [
            [validate, store],
            [validate, store],
            [validate, request, store],
            [validate, validate, request, store, store],
            [validate, request, hold, store],
            [validate, hold, request],
            [hold, validate],
        ]
    )


async def run_batch(
    rng: random.Random, ports: Systems, batch_id: str, records: Sequence[OrderRecord]
) -> AsyncIterator[None]:
    """Run a batch with the steps of its chunks mixed. Stop after each step."""
    await ports.store.filling.open_batch(opening_of(batch_id, chunk_size=3))
    yield
    for half in (records[: len(records) // 2], records[len(records) // 2 :]):
        await append(ports, batch_id, half)
        yield
    await ports.store.filling.freeze_batch(batch_id, CALENDAR)
    yield
    plan = await ports.store.batches.set_running(batch_id)
    yield
    # Each chunk's steps stay in order. The next chunk is drawn.
    chunks = [steps_of_chunk(rng, ports, batch_id, chunk_index) for chunk_index in range(plan.chunk_count)]
    while chunks:
        chunk = rng.choice(chunks)
        await chunk.pop(0)()
        yield
        chunks = [chunk for chunk in chunks if chunk]
    await close(ports, batch_id)
    yield


async def run_batches(rng: random.Random, ports: Systems) -> AsyncIterator[None]:
    """Run batches that take orders in again and again, so that rejected orders become pending and settled."""
    order_ids = [f"O{n:02d}" for n in range(18)]
    for n in range(5):
        async for _ in run_batch(rng, ports, f"B{n}", records_of(rng, rng.sample(order_ids, 9))):
            yield


class Interleaved:
    """A port, or a part of one. The run may continue before each of its calls."""

    def __init__(self, port: object, go_on: Callable[[], Awaitable[None]]) -> None:
        self._port = port
        self._go_on = go_on

    def __getattr__(self, name: str) -> object:
        found = getattr(self._port, name)
        if not inspect.iscoroutinefunction(found):
            return Interleaved(found, self._go_on)

        async def call(*arguments: object) -> object:
            await self._go_on()
            return await found(*arguments)

        return call


@pytest.mark.parametrize("seed", range(150))
async def test_an_audit_between_any_two_steps_is_clean(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr(limits, "AUDIT_SLICE_ORDER_COUNT", rng.choice([1, 2, 3, 5, 100]))
    ports = Systems(MemoryOrderCenter(), MemorySettlementStore(), MemoryFundPlatform())
    await open_accounts(ports)
    run = run_batches(rng, ports)
    step_count_max = rng.choice([1, 4, 20])
    is_over = False
    going_on = asyncio.Lock()  # the audit reads its slices concurrently

    async def go_on() -> None:
        nonlocal is_over
        async with going_on:
            for _ in range(rng.randint(0, step_count_max)):
                is_over = is_over or await anext(run, run) is run

    store: Any = Interleaved(ports.store, go_on)
    fund_platform: Any = Interleaved(ports.fund_platform, go_on)
    while not is_over:
        order_count_before = await count_orders(ports)
        report = await audit(store, fund_platform)
        assert_clean(report)
        assert order_count_before <= report.orders <= await count_orders(ports)
    report = await audit(ports.store, ports.fund_platform)
    assert_clean(report)
    assert report.orders == await count_orders(ports)


@pytest.fixture
async def ports(databases: DatabaseUrls) -> AsyncIterator[Systems]:
    async with open_ports_of(databases) as opened:
        await open_accounts(opened)
        yield opened


async def test_after_every_step_of_a_batch_the_audit_is_clean(ports: Systems) -> None:
    records = records_of(random.Random(1), [f"O{n:03d}" for n in range(60)])
    await ports.store.filling.open_batch(opening_of("B1", chunk_size=25))
    for start in range(0, len(records), 20):
        await append(ports, "B1", records[start : start + 20])
        report = await audit(ports.store, ports.fund_platform)
        assert_clean(report)
        assert report.pending.order_count == start + 20
    await ports.store.filling.freeze_batch("B1", CALENDAR)
    assert_clean(await audit(ports.store, ports.fund_platform))
    await ports.store.batches.set_running("B1")
    for chunk_index in range(3):
        for step in (
            steps.validate(ports, ref_of("B1", chunk_index)),
            request_credits(ports, "B1", chunk_index),
            steps.credit(ports, ref_of("B1", chunk_index)),
        ):
            await step
            report = await audit(ports.store, ports.fund_platform)
            assert_clean(report)
    await close(ports, "B1")
    report = await audit(ports.store, ports.fund_platform)
    assert_clean(report)
    assert (report.orders, report.pending.order_count) == (60, 0)


async def test_audits_beside_a_run_are_clean(ports: Systems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUDIT_SLICE_ORDER_COUNT", 50)
    rng = random.Random(1)
    order_ids = [f"O{n:03d}" for n in range(600)]

    async def run(batch_id: str) -> None:
        """Run a batch of orders spread over the keys. Some of them were rejected before."""
        await ports.order_center.load_records(records_of(rng, rng.sample(order_ids, 200)))
        opening = opening_of(batch_id, chunk_size=40)
        await freeze_overdue_orders(ports, opening, CALENDAR, None, on_slice=lambda _cursor: None)
        plan = await ports.store.batches.set_running(batch_id)
        await asyncio.gather(*(settle_chunk(ports, batch_id, chunk_index) for chunk_index in range(plan.chunk_count)))
        await close(ports, batch_id)

    async def run_all() -> None:
        """Run until there were some audits, one of them during a batch, however long an audit takes beside the runs."""
        for n in count(1):
            await run(f"B{n}")
            if n >= 12 and len(reports) >= 3 and any(report.pending.order_count for report in reports):
                return

    reports: list[AuditReport] = []
    runs = asyncio.create_task(run_all())
    while not runs.done():
        reports.append(await audit(ports.store, ports.fund_platform))
    await runs
    for report in reports:
        assert_clean(report)
    last = await audit(ports.store, ports.fund_platform)
    assert_clean(last)
    assert last.pending.order_count == 0
    assert last.orders == await count_orders(ports) > 500
