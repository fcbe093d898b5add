"""If a worker is killed between an operator's request and its effect, another applies it, and totals agree."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from temporalio.client import Client, WorkflowHandle

from runtime.stack_state import StackState
from schemas.wire.batches import FINAL_STATES, BatchState
from schemas.wire.control import ControlAction, ControlInput, WindowInput
from schemas.wire.payloads import BatchResult
from settling.reporting import fetch_report
from settling.systems import Systems
from tests.support.databases import DatabaseUrls
from tests.support.settle_processes import SettleProcesses
from tests.support.settlements import eventually, opening_of, require_clean, seed_orders
from workflows.batch_client import start_batch_workflow
from workflows.settle_batch import SettleBatchWorkflow

ORDER_COUNT = 120
CHUNK_SIZE = 5
PAUSE, RESUME, ABORT, WINDOW = ControlAction
ASKED = ControlInput(requested_by="ann", reason="a repair")

Handle = WorkflowHandle[SettleBatchWorkflow, BatchResult]
StopCredits = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def environment(stack: StackState, databases: DatabaseUrls, batch_id: str) -> dict[str, str]:
    return {
        "SETTLE_DATABASE_URL": databases.settlement_store,
        "SETTLE_ORDER_CENTER_URL": databases.order_center,
        "SETTLE_FUND_PLATFORM_URL": databases.fund_platform,
        "SETTLE_STACK_DIR": "none",
        "SETTLE_TASK_QUEUE": batch_id,
        "TEMPORAL_ADDRESS": stack.temporal_address,
        "SETTLE_REJECTED_COUNT_MAX": "0",
    }


@pytest.fixture
def stop_credits(databases: DatabaseUrls) -> StopCredits:
    """Lets no credit be posted for a while, so that no batch ends before the request."""

    @asynccontextmanager
    async def stopped() -> AsyncIterator[None]:
        connection = await asyncpg.connect(databases.fund_platform)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE fund_platform.credit_answers IN SHARE MODE")
                yield
        finally:
            await connection.close()

    return stopped


async def ask(handle: Handle, action: ControlAction) -> None:
    asked = WindowInput(requested_by="ann", window=3) if action == WINDOW else ASKED
    await handle.execute_update(str(action), asked)


async def actions_of(systems: Systems, batch_id: str) -> list[ControlAction]:
    return [each.action for each in await systems.store.control.fetch_control_actions(batch_id)]


async def until_state(systems: Systems, *states: BatchState) -> BatchState:
    async def probe() -> BatchState | None:
        batches = await systems.store.batches.fetch_batches(1)
        return batches[0].state if batches and batches[0].state in states else None

    return await eventually(probe)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("action", ControlAction)
async def test_an_action_comes_true_once_although_its_worker_is_killed_around_its_commit(
    client: Client,
    systems: Systems,
    environment: dict[str, str],
    batch_id: str,
    tmp_path: Path,
    action: ControlAction,
    moment: str,
    stop_credits: StopCredits,
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=0)
    handle = await start_batch_workflow(client, batch_id, opening_of(batch_id, chunk_size=CHUNK_SIZE, window=1))
    with SettleProcesses(tmp_path, environment) as processes:
        if action == RESUME:
            processes.start("first", "worker")
            async with stop_credits():
                await until_state(systems, BatchState.RUNNING)
                await ask(handle, PAUSE)
            await processes.stop("first")
        processes.start_failing_worker("doomed", "control_batch", moment)
        async with stop_credits():
            if action != RESUME:
                await until_state(systems, BatchState.RUNNING)
            asking = asyncio.create_task(ask(handle, action))
            assert await asyncio.to_thread(processes.exit_code, "doomed") == -9
            assert (action in await actions_of(systems, batch_id)) == (moment == "after")
            processes.start("next", "worker")
            await asking
        if action == PAUSE:
            assert await until_state(systems, BatchState.PAUSED)
            await ask(handle, RESUME)
        state = await until_state(systems, *FINAL_STATES)
        await processes.stop("next")
    assert (await actions_of(systems, batch_id)).count(action) == 1
    report = await fetch_report(systems.store, systems.fund_platform, batch_id)
    assert state == report.state == (BatchState.ABORTED if action == ABORT else BatchState.CLOSED)
    assert report.settled.order_count + report.held.order_count == ORDER_COUNT
    assert (report.held.order_count > 0) == (action == ABORT)
    assert report.balanced
    audited = await require_clean(systems, ORDER_COUNT)
    assert audited.ledger == (report.settled if action == ABORT else orders.settled)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_abort_holds_the_rest_although_its_worker_is_killed_while_it_does(
    client: Client,
    systems: Systems,
    environment: dict[str, str],
    batch_id: str,
    tmp_path: Path,
    moment: str,
    stop_credits: StopCredits,
) -> None:
    await seed_orders(systems, ORDER_COUNT, bad_rate=0)
    handle = await start_batch_workflow(client, batch_id, opening_of(batch_id, chunk_size=CHUNK_SIZE, window=1))
    with SettleProcesses(tmp_path, environment) as processes:
        processes.start_failing_worker("doomed", "hold_chunk", moment)
        async with stop_credits():
            await until_state(systems, BatchState.RUNNING)
            await ask(handle, ABORT)
        assert await asyncio.to_thread(processes.exit_code, "doomed") == -9
        processes.start("next", "worker")
        assert await until_state(systems, *FINAL_STATES) == BatchState.ABORTED
        totals = (await handle.result()).totals
        await processes.stop("next")
    report = await fetch_report(systems.store, systems.fund_platform, batch_id)
    assert report.settled.order_count + report.held.order_count == ORDER_COUNT
    assert report.held.order_count == report.reasons["NOT_ATTEMPTED"] > 0
    assert totals.held == report.held
    await require_clean(systems, ORDER_COUNT)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_threshold_pauses_a_batch_once_though_its_worker_dies_around_the_commit(
    client: Client, systems: Systems, environment: dict[str, str], batch_id: str, tmp_path: Path, moment: str
) -> None:
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=1)
    handle = await start_batch_workflow(client, batch_id, opening_of(batch_id, chunk_size=ORDER_COUNT // 4, window=1))
    with SettleProcesses(tmp_path, environment) as processes:
        processes.start_failing_worker("doomed", "control_batch", moment)
        assert await asyncio.to_thread(processes.exit_code, "doomed") == -9
        processes.start("next", "worker")
        await until_state(systems, BatchState.PAUSED)
        [paused] = await systems.store.control.fetch_control_actions(batch_id)
        assert (paused.action, paused.requested_by) == (PAUSE, "settle")
        await ask(handle, RESUME)
        assert await until_state(systems, *FINAL_STATES) == BatchState.CLOSED
        await processes.stop("next")
    report = await fetch_report(systems.store, systems.fund_platform, batch_id)
    assert report.rejected == orders.rejected
    await require_clean(systems, ORDER_COUNT)
