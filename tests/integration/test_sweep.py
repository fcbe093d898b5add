"""The sweep on real Temporal and PostgreSQL freezes and starts the right batches, and survives failures."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.service import RetryConfig, RPCError, RPCStatusCode

from database.pools import Pool
from domain import limits
from domain.business_days import BusinessCalendar
from domain.errors import InvariantViolationError, UnavailableError
from runtime.settings import Settings
from runtime.stack_state import StackState
from schemas.batches import UnclosedBatch
from schemas.wire.batches import BatchOpening, BatchState
from schemas.wire.payloads import BatchResult
from settlement_store.port import SettlementStore
from settling.systems import Systems
from tests.contract.settlement_batches import close_batch
from tests.support.settlements import (
    CALENDAR,
    DEADLINE_S,
    Gate,
    SeededOrders,
    eventually,
    fill,
    held,
    kafka_opening_of,
    opening_of,
    replaced,
    require_clean,
    require_settled,
    running_worker,
    seed_orders,
)
from workers.settlement_worker import serve
from workers.sweep import sweep, sweep_forever
from workflows.batch_client import start_batch_workflow
from workflows.settle_batch import SettleBatchWorkflow

ORDER_COUNT = 30
BatchHandle = WorkflowHandle[SettleBatchWorkflow, BatchResult]


@pytest.fixture
def settings(batch_id: str) -> Settings:
    return Settings(task_queue=batch_id)


@pytest.fixture
def store_pool(pools: dict[str, Pool]) -> Pool:
    return pools["settlement_store"]


async def grow_old(store_pool: Pool, by_s: float = 3_600) -> None:
    """Make all batches older."""
    await store_pool.execute("UPDATE batches SET opened_at = opened_at - make_interval(secs => $1)", by_s)


def handle_of(client: Client, batch_id: str) -> BatchHandle:
    return client.get_workflow_handle_for(SettleBatchWorkflow.run, batch_id)


async def end_of(client: Client, batch_id: str) -> BatchResult:
    async with asyncio.timeout(DEADLINE_S):
        return await handle_of(client, batch_id).result()


async def status_of(client: Client, batch_id: str) -> WorkflowExecutionStatus | None:
    """Return the status of a batch's workflow, or None if there is none."""
    try:
        return (await handle_of(client, batch_id).describe()).status
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return None


def swept(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None]]:
    """Return the lines that the sweep logged since the last call, each with its batch."""
    said = [
        (record.getMessage(), getattr(record, "batch_id", None))
        for record in caplog.records
        if record.name == "workers.sweep"
    ]
    caplog.clear()
    return said


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="workers.sweep")


@asynccontextmanager
async def sweeping(client: Client, settings: Settings, store: SettlementStore) -> AsyncIterator[None]:
    task = asyncio.create_task(sweep_forever(client, settings, store))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()


async def seed_kafka_batch(systems: Systems, opening: BatchOpening) -> SeededOrders:
    orders = await seed_orders(systems, ORDER_COUNT, prefix=f"{opening.batch_id}-")
    await fill(systems, opening, orders.records)
    return orders


async def test_a_kafka_batch_that_waits_too_long_is_frozen_and_started(
    client: Client,
    systems: Systems,
    batch_id: str,
    settings: Settings,
    store_pool: Pool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    opening = kafka_opening_of(batch_id, chunk_size=20)
    orders = await seed_kafka_batch(systems, opening)
    await grow_old(store_pool, settings.batch_wait_s_max + limits.SWEEP_GRACE_S)
    async with running_worker(client, batch_id, systems):
        await sweep(client, settings, systems.store)
        assert swept(caplog) == [("sweep froze a batch", batch_id), ("sweep started a batch", batch_id)]
        await sweep(client, settings, systems.store)
        assert swept(caplog) == []
        result = await end_of(client, batch_id)
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, ORDER_COUNT)


async def test_a_frozen_batch_that_nobody_started_is_started(
    client: Client,
    systems: Systems,
    batch_id: str,
    settings: Settings,
    store_pool: Pool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    opening = kafka_opening_of(batch_id, chunk_size=20)
    orders = await seed_kafka_batch(systems, opening)
    await systems.store.filling.freeze_batch(batch_id, CALENDAR)
    await grow_old(store_pool, limits.SWEEP_GRACE_S)
    async with running_worker(client, batch_id, systems):
        await sweep(client, settings, systems.store)
        result = await end_of(client, batch_id)
    assert swept(caplog) == [("sweep started a batch", batch_id)]
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, ORDER_COUNT)


async def test_an_open_batch_whose_workflow_never_started_is_started_and_filled(
    client: Client, systems: Systems, batch_id: str, settings: Settings, store_pool: Pool
) -> None:
    """`settle run` leaves a batch so if it dies after opening it."""
    orders = await seed_orders(systems, ORDER_COUNT)
    opening = opening_of(batch_id, chunk_size=20, window=2)
    await systems.store.filling.open_batch(opening)
    await grow_old(store_pool)
    async with running_worker(client, batch_id, systems):
        await sweep(client, settings, systems.store)
        result = await end_of(client, batch_id)
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, ORDER_COUNT)


@pytest.mark.parametrize("is_terminated", [True, False], ids=["terminated", "cancelled"])
async def test_a_batch_whose_workflow_was_ended_goes_on(
    client: Client, systems: Systems, batch_id: str, settings: Settings, store_pool: Pool, *, is_terminated: bool
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT)
    opening = opening_of(batch_id, chunk_size=10, window=1)
    gate = Gate()
    slow = replace(systems, fund_platform=held(systems.fund_platform, "post_credits", gate))
    async with running_worker(client, batch_id, slow):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        await grow_old(store_pool)
        await (handle.terminate("an operator's hand") if is_terminated else handle.cancel())
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        await sweep(client, settings, systems.store)
        assert await status_of(client, batch_id) == WorkflowExecutionStatus.RUNNING
        await gate.open()
        result = await end_of(client, batch_id)
    await require_settled(systems, result, opening, orders)
    await require_clean(systems, ORDER_COUNT)


async def test_what_is_young_or_runs_or_is_closed_is_left_alone(
    client: Client,
    systems: Systems,
    batch_id: str,
    settings: Settings,
    store_pool: Pool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "SWEEP_GRACE_S", 1_200)
    settings = settings.model_copy(update={"batch_wait_s_max": 1_200.0})
    store = systems.store
    await seed_orders(systems, ORDER_COUNT)
    gate = Gate()
    slow = replace(systems, order_center=held(systems.order_center, "fetch_overdue_slice", gate))
    async with running_worker(client, batch_id, slow):
        await store.filling.open_batch(kafka_opening_of(f"{batch_id}-closed"))
        await store.filling.freeze_batch(f"{batch_id}-closed", CALENDAR)
        await store.batches.set_running(f"{batch_id}-closed")
        await close_batch(store, f"{batch_id}-closed")
        running = await start_batch_workflow(client, batch_id, opening_of(f"{batch_id}-open", chunk_size=10, window=1))
        await gate.reached()
        await grow_old(store_pool)
        await store.filling.open_batch(kafka_opening_of(f"{batch_id}-waiting"))
        await grow_old(store_pool, limits.SWEEP_GRACE_S)  # past the grace, within the wait
        await store.filling.open_batch(kafka_opening_of(f"{batch_id}-frozen"))
        await store.filling.freeze_batch(f"{batch_id}-frozen", CALENDAR)
        await store.filling.open_batch(opening_of(f"{batch_id}-run", chunk_size=10, window=1))
        before = await store.batches.fetch_batches(10)

        await sweep(client, settings, store)
        assert swept(caplog) == []
        assert await store.batches.fetch_batches(10) == before
        for name in ("closed", "waiting", "frozen", "run"):
            assert await status_of(client, f"{batch_id}-{name}") is None
        assert (await handle_of(client, f"{batch_id}-open").describe()).run_id == running.first_execution_run_id
        await gate.open()
        await end_of(client, f"{batch_id}-open")


async def test_a_batch_whose_workflow_failed_is_started_again_only_after_a_pause(
    client: Client,
    systems: Systems,
    batch_id: str,
    settings: Settings,
    store_pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opening = kafka_opening_of(batch_id, chunk_size=20)
    orders = await seed_kafka_batch(systems, opening)
    await grow_old(store_pool)

    async def freeze_batch(*_: object) -> None:
        raise InvariantViolationError("The plan cannot be right.")

    broken = replace(systems, store=replaced(systems.store, "freeze_batch", freeze_batch))
    async with running_worker(client, batch_id, broken):
        with pytest.raises(WorkflowFailureError):
            await (await start_batch_workflow(client, batch_id, opening)).result()
    await sweep(client, settings, systems.store)
    assert await status_of(client, batch_id) == WorkflowExecutionStatus.FAILED
    monkeypatch.setattr(limits, "SWEEP_FAILED_PAUSE_S", 0)
    async with running_worker(client, batch_id, systems):
        await sweep(client, settings, systems.store)
        result = await end_of(client, batch_id)
    await require_settled(systems, result, opening, orders)


async def test_sweeps_at_once_start_each_batch_once(
    client: Client, systems: Systems, batch_id: str, settings: Settings, store_pool: Pool
) -> None:
    openings = [kafka_opening_of(f"{batch_id}-{n}", chunk_size=20) for n in range(4)]
    seeded = [await seed_kafka_batch(systems, opening) for opening in openings]
    for opening in openings[2:]:
        await systems.store.filling.freeze_batch(opening.batch_id, CALENDAR)
    ended = await start_batch_workflow(client, batch_id, openings[3])
    await ended.terminate("before any worker")
    await grow_old(store_pool)
    await asyncio.gather(*(sweep(client, settings, systems.store) for _ in range(4)))
    async with running_worker(client, batch_id, systems):
        for opening, orders in zip(openings, seeded, strict=True):
            result = await end_of(client, opening.batch_id)
            await require_settled(systems, result, opening, orders)
    await require_clean(systems, 4 * ORDER_COUNT)

    async def fetch_runs() -> list[str] | None:
        query = f"SettleBatchId STARTS_WITH '{batch_id}' AND WorkflowType = 'SettleBatchWorkflow'"
        runs = sorted([found.id async for found in client.list_workflows(query)])
        return runs if len(runs) >= len(openings) + 1 else None

    ids = [opening.batch_id for opening in openings]
    assert await eventually(fetch_runs) == [*ids, ids[3]]


async def test_no_failure_of_postgresql_and_no_batch_that_cannot_freeze_stops_the_sweep(
    client: Client,
    systems: Systems,
    batch_id: str,
    settings: Settings,
    store_pool: Pool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "SWEEP_INTERVAL_S", 0.05)
    poison, good = kafka_opening_of(f"{batch_id}-poison"), kafka_opening_of(f"{batch_id}-good")
    await seed_kafka_batch(systems, poison)
    orders = await seed_kafka_batch(systems, good)
    await grow_old(store_pool)
    failures = [UnavailableError("It hung up.")]

    async def fetch_unclosed_batches() -> list[UnclosedBatch]:
        if failures:
            raise failures.pop()
        return await systems.store.batches.fetch_unclosed_batches()

    async def freeze_batch(batch_id: str, calendar: BusinessCalendar) -> None:
        if batch_id == poison.batch_id:
            raise ZeroDivisionError
        await systems.store.filling.freeze_batch(batch_id, calendar)

    shaky = replaced(systems.store, "fetch_unclosed_batches", fetch_unclosed_batches)
    shaky = replaced(shaky, "freeze_batch", freeze_batch)
    async with running_worker(client, batch_id, systems), sweeping(client, settings, shaky):

        async def is_started() -> bool:
            return await status_of(client, good.batch_id) is not None

        await eventually(is_started)
        result = await end_of(client, good.batch_id)
    await require_settled(systems, result, good, orders)
    assert (await systems.store.batches.fetch_batch(poison.batch_id)).state == BatchState.OPEN
    said = swept(caplog)
    assert said[:2] == [
        ("sweep could not read the batches", None),
        ("sweep could not freeze or start a batch", poison.batch_id),
    ]
    assert said.count(("sweep started a batch", good.batch_id)) == 1


async def test_a_temporal_that_is_away_is_asked_again(
    client: Client,
    systems: Systems,
    batch_id: str,
    settings: Settings,
    store_pool: Pool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    away = await Client.connect(
        "127.0.0.1:1", lazy=True, retry_config=RetryConfig(max_elapsed_time_millis=1, max_retries=1)
    )
    opening = kafka_opening_of(batch_id)
    orders = await seed_kafka_batch(systems, opening)
    await grow_old(store_pool)
    await sweep(away, settings, systems.store)
    assert swept(caplog) == [
        ("sweep froze a batch", batch_id),
        ("sweep could not freeze or start a batch", batch_id),
    ]
    async with running_worker(client, batch_id, systems):
        await sweep(client, settings, systems.store)
        result = await end_of(client, batch_id)
    await require_settled(systems, result, opening, orders)


async def test_a_worker_sweeps_beside_its_work(
    stack: StackState,
    client: Client,
    systems: Systems,
    batch_id: str,
    settings: Settings,
    store_pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", stack.temporal_address)
    monkeypatch.setattr(limits, "SWEEP_INTERVAL_S", 0.05)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(settings, systems, stop))
    opening = kafka_opening_of(batch_id)
    orders = await seed_kafka_batch(systems, opening)
    await grow_old(store_pool)

    async def is_closed() -> bool:
        return (await systems.store.batches.fetch_batch(batch_id)).state == BatchState.CLOSED

    try:
        await eventually(is_closed)
        result = await end_of(client, batch_id)
    finally:
        stop.set()
        await serving
    await require_settled(systems, result, opening, orders)
