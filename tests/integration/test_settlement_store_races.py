"""Concurrent appends, freezes and steps over the same orders leave the store consistent on PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime

import pytest

from database.pools import Pool, open_pool
from database.queries import load_query
from domain import limits
from domain.control_totals import totals_of
from domain.errors import BatchNotOpenError, InvariantViolationError
from runtime.stack_state import StackState
from schemas.batches import AppendResult
from schemas.items import ExceptionItem, Item, OfferedOrder
from schemas.wire.batches import BatchOpening, BatchSource, BatchState
from schemas.wire.isolation import ItemRange
from schemas.wire.reasons import Outcome, ReasonCode
from settlement_store.postgres import PostgresSettlementStore
from tests.contract.settlement_batches import report_of_nothing
from tests.support.databases import EMPTY_SETTLEMENT_STORE, cloned_database
from tests.support.settlements import CALENDAR

ORDER_COUNT = 2_000
RIVAL_COUNT = 4


@pytest.fixture(scope="module")
def database(stack: StackState) -> Iterator[str]:
    """One database for all the tests here. Emptying its tables is many times faster than cloning it."""
    with cloned_database(stack.database_url, "template_settlement_store") as url:
        yield url


@pytest.fixture
async def pool(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    """A pool whose connections wait for a rival as long as a busy machine needs."""
    for bound in ("DATABASE_CONNECT_TIMEOUT_S", "LOCK_TIMEOUT_S", "IDLE_IN_TRANSACTION_TIMEOUT_S"):
        monkeypatch.setattr(limits, bound, 1_200)
    async with await open_pool(
        database, schema="settlement", application_name="tests", statement_timeout_s=1_200
    ) as opened:
        await opened.execute(EMPTY_SETTLEMENT_STORE)
        yield opened


@pytest.fixture
def store(pool: Pool) -> PostgresSettlementStore:
    return PostgresSettlementStore(pool)


CUTOFF = datetime(2026, 11, 22, tzinfo=UTC)


def opening_of(batch_id: str, chunk_size: int = 500) -> BatchOpening:
    return BatchOpening(
        batch_id=batch_id,
        source=BatchSource.MANUAL,
        business_date=date(2026, 11, 22),
        cutoff_at=CUTOFF,
        chunk_size=chunk_size,
        window=2,
    )


def orders_of(rng: random.Random, order_count: int = ORDER_COUNT) -> list[OfferedOrder]:
    orders = [OfferedOrder(f"O{n:05d}", "A1", 100, "USD") for n in range(order_count)]
    rng.shuffle(orders)
    return orders


def slices_of(orders: Sequence[OfferedOrder], size: int) -> Iterator[Sequence[OfferedOrder]]:
    for start in range(0, len(orders), size):
        yield orders[start : start + size]


async def items_of(store: PostgresSettlementStore, batch_id: str) -> Sequence[Item]:
    item_count = (await store.batches.fetch_batch(batch_id)).item_count
    return await store.chunks.fetch_pending_items(batch_id, ItemRange(0, item_count))


async def append_all(
    store: PostgresSettlementStore, batch_id: str, orders: Sequence[OfferedOrder]
) -> list[AppendResult]:
    return [await store.filling.append_orders(batch_id, offered) for offered in slices_of(orders, 300)]


async def append_in_step(
    store: PostgresSettlementStore, batch_id: str, orders: Sequence[OfferedOrder], step: asyncio.Barrier
) -> list[AppendResult]:
    """Append in step with the others, none of which gets a slice ahead, so that they always overlap."""
    results = []
    for offered in slices_of(orders, 300):
        await step.wait()
        results.append(await store.filling.append_orders(batch_id, offered))
    return results


@asynccontextmanager
async def all_at_once(pool: Pool, waiter_count: int) -> AsyncIterator[None]:
    """Hold back the statements that write claims until this many wait, so that they begin at the same time."""

    async def release_when_all_wait() -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE claims IN SHARE MODE")
            is_held.set()
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'claims'::regclass"
            while await connection.fetchval(query) < waiter_count:
                pass

    is_held = asyncio.Event()
    release = asyncio.create_task(release_when_all_wait())
    await is_held.wait()
    yield
    await release


@pytest.mark.parametrize("seed", range(4))
async def test_appends_at_once_give_each_order_one_item_and_no_batch_a_gap(
    store: PostgresSettlementStore, pool: Pool, seed: int
) -> None:
    rng = random.Random(seed)
    batch_ids = [f"B{n}" for n in range(RIVAL_COUNT)]
    for batch_id in batch_ids:
        await store.filling.open_batch(opening_of(batch_id))
    step = asyncio.Barrier(2 * RIVAL_COUNT)
    async with all_at_once(pool, RIVAL_COUNT):
        results = await asyncio.gather(
            *(append_in_step(store, batch_id, orders_of(rng), step) for batch_id in batch_ids for _ in range(2))
        )
    by_batch = [first + second for first, second in zip(results[::2], results[1::2], strict=True)]
    claimed_counts = [sum(result.claimed_count for result in of_batch) for of_batch in by_batch]
    assert sum(claimed_counts) == ORDER_COUNT
    assert sum(count > 0 for count in claimed_counts) > 1
    for claimed_count, of_batch in zip(claimed_counts, by_batch, strict=True):
        assert claimed_count + sum(result.duplicate_count for result in of_batch) == 2 * ORDER_COUNT
    items = [await items_of(store, batch_id) for batch_id in batch_ids]
    assert [[item.item_no for item in of_batch] for of_batch in items] == [list(range(n)) for n in claimed_counts]
    assert len({item.order_id for of_batch in items for item in of_batch}) == ORDER_COUNT
    assert await store.audit.fetch_store_breaks(10) == []


async def test_new_orders_wait_for_an_append_that_claims_alone(store: PostgresSettlementStore, pool: Pool) -> None:
    """The append has read the claims, and relies on none being taken meanwhile."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
    await store.filling.open_batch(opening_of("B1"))
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(load_query("settlement_store.postgres", "lock_appends_alone"))
        appending = asyncio.create_task(store.filling.append_orders("B1", orders_of(random.Random(1))[:10]))
        while not await pool.fetchval(waiting):
            assert not appending.done()
    assert (await appending).claimed_count == 10


@pytest.mark.parametrize("seed", range(4))
async def test_orders_rejected_and_taken_in_at_once_have_one_live_item_and_no_deadlock(
    store: PostgresSettlementStore, seed: int
) -> None:
    rng = random.Random(seed)
    await store.filling.open_batch(opening_of("B0"))
    await store.filling.append_orders("B0", orders_of(rng))
    await store.filling.freeze_batch("B0", CALENDAR)
    plan = await store.batches.set_running("B0")
    rivals = ["B1", "B2"]
    for batch_id in rivals:
        await store.filling.open_batch(opening_of(batch_id))

    async def reject(chunk_index: int) -> None:
        chunk = await store.chunks.fetch_chunk("B0", chunk_index)
        item_nos = rng.sample(range(chunk.item_start, chunk.item_end), 400)
        rejects = [ExceptionItem(item_no, Outcome.REJECTED, ReasonCode.ORDER_DISPUTED) for item_no in item_nos]
        await store.chunks.store_validation("B0", chunk_index, rejects[:200])
        await store.chunks.store_outcomes("B0", chunk_index, rejects[200:])

    async def append_again_and_again(batch_id: str) -> None:
        for _ in range(3):
            await append_all(store, batch_id, orders_of(rng))

    await asyncio.gather(*map(reject, range(plan.chunk_count)), *map(append_again_and_again, rivals))
    await append_again_and_again(rivals[0])
    items = [item for batch_id in rivals for item in await items_of(store, batch_id)]
    assert len({item.order_id for item in items}) == len(items) == 400 * plan.chunk_count
    assert {item.claim_no for item in items} == {2}
    assert await store.audit.fetch_store_breaks(10) == []


@pytest.mark.parametrize("seed", range(4))
async def test_a_batch_frozen_amid_appends_has_planned_just_what_it_took(
    store: PostgresSettlementStore, seed: int
) -> None:
    rng = random.Random(seed)
    await store.filling.open_batch(opening_of("B1"))

    claimed_count = 0
    is_frozen = asyncio.Event()

    async def append_until_frozen(orders: Sequence[OfferedOrder]) -> None:
        nonlocal claimed_count
        with suppress(BatchNotOpenError):
            for offered in slices_of(orders, 100):
                if claimed_count >= 1_500:  # some are left, however long the freezing takes
                    await is_frozen.wait()
                result = await store.filling.append_orders("B1", offered)
                claimed_count += result.claimed_count

    async def freeze_amid() -> None:
        while (await store.batches.fetch_batch("B1")).item_count < 500:
            pass
        await asyncio.gather(store.filling.freeze_batch("B1", CALENDAR), store.filling.freeze_batch("B1", CALENDAR))
        is_frozen.set()

    await asyncio.gather(*(append_until_frozen(orders_of(rng)) for _ in range(3)), freeze_amid())
    assert 500 <= claimed_count < ORDER_COUNT
    batch = await store.batches.fetch_batch("B1")
    assert (batch.state, batch.item_count) == (BatchState.FROZEN, claimed_count)
    assert await store.batches.fetch_planned_totals("B1") == totals_of(
        [("USD", batch.item_count, 100 * batch.item_count)]
    )
    assert await store.audit.fetch_store_breaks(10) == []


async def test_a_batch_closes_only_after_its_last_chunk(store: PostgresSettlementStore) -> None:
    await store.filling.open_batch(opening_of("B1", chunk_size=100))
    await store.filling.append_orders("B1", orders_of(random.Random(1)))
    await store.filling.freeze_batch("B1", CALENDAR)
    plan = await store.batches.set_running("B1")
    was_tried = asyncio.Event()

    async def close_when_possible() -> None:
        while True:
            try:
                await store.batches.close_batch(report_of_nothing("B1"))
            except InvariantViolationError:
                was_tried.set()
            else:
                return

    async def run_chunk(chunk_index: int) -> None:
        await was_tried.wait()
        conflict = ExceptionItem(chunk_index * 100, Outcome.HELD, ReasonCode.PAYLOAD_CONFLICT)
        await store.chunks.store_validation("B1", chunk_index, [])
        await asyncio.gather(*(store.chunks.store_outcomes("B1", chunk_index, [conflict]) for _ in range(2)))

    await asyncio.gather(close_when_possible(), *map(run_chunk, range(plan.chunk_count)))
    batch = await store.batches.fetch_batch("B1")
    assert (batch.state, batch.conflict_count) == (BatchState.CLOSED, plan.chunk_count)
    # Its report was made up.
    assert {each.kind for each in await store.audit.fetch_store_breaks(10)} == {"kept_report_differs"}
