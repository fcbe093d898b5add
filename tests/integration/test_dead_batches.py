"""The sweep closes every batch whose workflow was cancelled, terminated, reset or lost, and the audit is clean."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowQueryRejectedError
from temporalio.service import RPCError

from database.pools import Pool
from domain import limits
from domain.identifiers import chunk_workflow_id
from local_stack import LocalStack
from runtime.adapters import migrate_databases, open_systems
from runtime.settings import Settings
from runtime.stack_state import StackState
from schemas.wire.batches import FINAL_STATES, BatchState
from schemas.wire.control import ControlInput
from settling.systems import Systems
from tests.conftest import register_search_attributes
from tests.support.settlements import (
    DEADLINE_S,
    Gate,
    SeededOrders,
    connect,
    eventually,
    fetch_events,
    held,
    of_type,
    opening_of,
    require_clean,
    seed_orders,
)
from workers.settlement_worker import serve
from workflows.batch_client import start_batch_workflow
from workflows.settle_batch import SettleBatchWorkflow

ORDER_COUNT = 60
CHUNK_SIZE = 10
SLOW_CHUNK_INDEX = 2
COPY_AGE_S = 30
ASKED = ControlInput(requested_by="ann", reason="to see what comes back")

Hand = Callable[[Client, str], Awaitable[None]]


@pytest.fixture(autouse=True)
def _quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SWEEP_INTERVAL_S", 0.2)
    monkeypatch.setattr(limits, "SWEEP_GRACE_S", 0)
    monkeypatch.setattr(limits, "WORKER_GRACEFUL_SHUTDOWN_S", 1)
    monkeypatch.setattr(limits, "CHUNK_READ_DEADLINES_S", (2, 10, 1_200))


@asynccontextmanager
async def serving(batch_id: str, systems: Systems) -> AsyncIterator[None]:
    """Run a worker with its sweep."""
    stop = asyncio.Event()
    task = asyncio.create_task(serve(Settings(task_queue=batch_id), systems, stop))
    try:
        yield
        assert not task.done()
    finally:
        stop.set()
        await task


async def cancel(client: Client, workflow_id: str) -> None:
    await client.get_workflow_handle(workflow_id).cancel()


async def terminate(client: Client, workflow_id: str) -> None:
    await client.get_workflow_handle(workflow_id).terminate("an operator's hand")


async def reset_to(client: Client, workflow_id: str, task_index: int) -> None:
    async def fetch_completed_tasks() -> list[HistoryEvent]:
        return of_type(await fetch_events(client, workflow_id), EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)

    tasks = await eventually(fetch_completed_tasks)  # a chunk in its local activity has none yet
    await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id),
            reason="an operator's hand",
            request_id=workflow_id,
            workflow_task_finish_event_id=tasks[task_index].event_id,
        )
    )


async def reset_to_the_first_task(client: Client, workflow_id: str) -> None:
    await reset_to(client, workflow_id, 0)


async def reset_to_the_last_task(client: Client, workflow_id: str) -> None:
    await reset_to(client, workflow_id, -1)


HANDS = [cancel, terminate, reset_to_the_first_task, reset_to_the_last_task]


async def until_final(systems: Systems, batch_id: str) -> BatchState:
    async def probe() -> BatchState | None:
        state = (await systems.store.batches.fetch_batch(batch_id)).state
        return state if state in FINAL_STATES else None

    return await eventually(probe)


async def until_paused(client: Client, batch_id: str) -> None:
    """Wait until the batch's current workflow run is paused and has nothing in flight."""
    handle = client.get_workflow_handle_for(SettleBatchWorkflow.run, batch_id)

    async def probe() -> bool:
        try:
            progress = await handle.query(SettleBatchWorkflow.progress)
        except (RPCError, WorkflowQueryRejectedError):
            return False
        return progress is not None and progress.phase == "paused" and not progress.chunks_in_flight

    await eventually(probe)


async def resume(client: Client, batch_id: str) -> None:
    handle = client.get_workflow_handle_for(SettleBatchWorkflow.run, batch_id)
    assert not (await handle.execute_update(SettleBatchWorkflow.resume, ASKED)).is_paused


async def require_done(systems: Systems, orders: SeededOrders, *, held_count_max: int) -> None:
    """Require a clean audit and that every order is settled, rejected, or held in the chunk that an operator ended."""
    audited = await require_clean(systems, ORDER_COUNT)
    assert audited.duplicate_credits == 0
    held_count = audited.held.order_count
    assert held_count <= held_count_max
    assert audited.settled.order_count + audited.rejected.order_count + held_count == ORDER_COUNT
    assert audited.ledger == orders.settled


@pytest.mark.parametrize("is_paused", [False, True], ids=["running", "paused"])
@pytest.mark.parametrize("is_chunk", [False, True], ids=["batch", "chunk"])
@pytest.mark.parametrize("hand", HANDS)
async def test_a_batch_comes_to_its_close_after_an_operators_hand_on_a_workflow_of_it(
    stack: StackState,
    client: Client,
    systems: Systems,
    batch_id: str,
    monkeypatch: pytest.MonkeyPatch,
    hand: Hand,
    *,
    is_chunk: bool,
    is_paused: bool,
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", stack.temporal_address)
    orders = await seed_orders(systems, ORDER_COUNT)
    opening = opening_of(batch_id, chunk_size=CHUNK_SIZE, window=1)
    chunk_id = chunk_workflow_id(batch_id, SLOW_CHUNK_INDEX)
    gate = Gate()
    slow = held(systems.fund_platform, "post_credits", gate, lambda reference, _: reference == chunk_id)
    async with serving(batch_id, replace(systems, fund_platform=slow)):
        handle = await start_batch_workflow(client, batch_id, opening)
        await gate.reached()
        if is_paused:
            await handle.execute_update(SettleBatchWorkflow.pause, ASKED)
        await hand(client, chunk_id if is_chunk else batch_id)
        await gate.open()
        if is_paused:

            async def is_running_again() -> bool:
                described = await client.get_workflow_handle(batch_id).describe()
                return described.status == WorkflowExecutionStatus.RUNNING

            await eventually(is_running_again)
            await until_paused(client, batch_id)
            assert (await systems.store.batches.fetch_batch(batch_id)).state == BatchState.PAUSED
            assert {3, 4, 5} <= set(await systems.store.chunks.fetch_unclosed_chunks(batch_id, -1, 10))
            await resume(client, batch_id)
        assert await until_final(systems, batch_id) == BatchState.CLOSED
    await require_done(systems, orders, held_count_max=CHUNK_SIZE if is_chunk else 0)


async def test_a_batch_unclosed_in_postgresql_whose_workflow_completed_is_run_again(
    stack: StackState,
    client: Client,
    systems: Systems,
    pools: dict[str, Pool],
    batch_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This happens after PostgreSQL is restored to an older state. The ledger, on its own server, has the credits."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", stack.temporal_address)
    orders = await seed_orders(systems, ORDER_COUNT, bad_rate=0)
    async with serving(batch_id, systems):
        await (
            await start_batch_workflow(client, batch_id, opening_of(batch_id, chunk_size=CHUNK_SIZE, window=2))
        ).result()
        await pools["settlement_store"].execute(
            "DELETE FROM chunk_totals WHERE chunk_index = 1;"
            "DELETE FROM outbox WHERE item_start = 10;"
            "UPDATE chunk_states SET state = 'planned' WHERE chunk_index = 1;"
            "UPDATE batches SET state = 'running', closed_at = NULL"
        )
        assert await until_final(systems, batch_id) == BatchState.CLOSED
    await require_done(systems, orders, held_count_max=0)


class OwnStack(NamedTuple):
    """The test's own embedded stack, with a Temporal server that can be removed."""

    directory: Path
    stack: LocalStack
    systems: Systems

    @property
    def temporal_file(self) -> Path:
        """The file with all of Temporal's data."""
        return self.directory / "temporal" / "temporal.db"

    async def client(self) -> Client:
        """Return a new connection to Temporal."""
        return await connect(await asyncio.to_thread(self.stack.up))

    def copy_temporal(self, copy: Path) -> None:
        """Copy Temporal's whole database while it is in use."""
        with closing(sqlite3.connect(self.temporal_file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)

    def end_temporal(self) -> None:
        """Kill Temporal and remove its database."""
        server = psutil.Process(json.loads((self.directory / "run" / "temporal.json").read_text())["pid"])
        server.kill()
        server.wait(DEADLINE_S)
        for file in self.temporal_file.parent.glob(f"{self.temporal_file.name}*"):
            file.unlink()


@pytest.fixture
async def own_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OwnStack]:
    directory = tmp_path / "stack"
    stack = LocalStack(directory)
    try:
        state = await asyncio.to_thread(stack.up)
        monkeypatch.setenv("TEMPORAL_ADDRESS", state.temporal_address)
        url = state.database_url
        settings = Settings(database_url=url, order_center_url=url, fund_platform_url=url)
        await migrate_databases(settings)
        await register_search_attributes(state.temporal_address)
        async with open_systems(settings) as ports:
            yield OwnStack(directory, stack, ports)
    finally:
        await asyncio.to_thread(stack.down)


BATCHES = ("before", "closed", "paused", "after", "aborted")


async def begin(own: OwnStack, client: Client, task_queue: str, name: str) -> SeededOrders:
    """Start a batch of its own orders whose last chunks wait at the gate."""
    orders = await seed_orders(own.systems, ORDER_COUNT, seed=BATCHES.index(name) + 1, prefix=f"{name}-")
    await start_batch_workflow(client, task_queue, opening_of(name, chunk_size=CHUNK_SIZE, window=1))

    async def is_frozen() -> bool:
        batches = await own.systems.store.batches.fetch_batches(len(BATCHES))
        return any(batch.batch_id == name and batch.state == BatchState.RUNNING for batch in batches)

    await eventually(is_frozen)
    return orders


async def until_closed_chunks(own: OwnStack, name: str, count: int) -> None:
    async def probe() -> bool:
        return (await own.systems.store.batches.fetch_progress(name)).chunk_closed_count >= count

    await eventually(probe)


@pytest.mark.parametrize("is_lost", [False, True], ids=["put back to an old copy", "lost"])
async def test_every_batch_comes_to_its_close_after_temporals_database_is(
    own_stack: OwnStack, tmp_path: Path, batch_id: str, *, is_lost: bool
) -> None:
    """The batches began before and after the copy, were closed after it, or were paused or aborted after it."""
    systems = own_stack.systems
    gate, closed_gate = Gate(), Gate()

    def is_held(reference: str, _: object) -> bool:
        return not reference.startswith("closed") and int(reference[-1]) == SLOW_CHUNK_INDEX

    slow = held(systems.fund_platform, "post_credits", gate, is_held)
    slow = held(slow, "post_credits", closed_gate, lambda reference, _: reference == chunk_workflow_id("closed", 1))
    client = await own_stack.client()
    async with serving(batch_id, replace(systems, fund_platform=slow)):
        for name in ("before", "closed", "paused", "aborted"):
            await begin(own_stack, client, batch_id, name)
        for name in ("before", "paused", "aborted"):
            await until_closed_chunks(own_stack, name, SLOW_CHUNK_INDEX)
        copied_at = time.monotonic()
        await asyncio.to_thread(own_stack.copy_temporal, tmp_path / "copy.db")
        await closed_gate.open()
        assert await until_final(systems, "closed") == BatchState.CLOSED
        for name, update in (("paused", SettleBatchWorkflow.pause), ("aborted", SettleBatchWorkflow.abort)):
            await client.get_workflow_handle_for(SettleBatchWorkflow.run, name).execute_update(update, ASKED)
        await begin(own_stack, client, batch_id, "after")
        await until_closed_chunks(own_stack, "after", SLOW_CHUNK_INDEX)

        async def is_old() -> bool:
            return time.monotonic() - copied_at >= COPY_AGE_S

        await eventually(is_old)

    # After a database is restored, workers must be restarted, because a worker's cache is newer than the copy.
    own_stack.end_temporal()
    if not is_lost:
        (tmp_path / "copy.db").rename(own_stack.temporal_file)
    client = await own_stack.client()
    if is_lost:
        await register_search_attributes(client.service_client.config.target_host)  # as `settle migrate` does
    async with serving(batch_id, replace(systems, fund_platform=slow)):
        await until_paused_in_temporal(client)
        await gate.open()
        await until_paused(client, "paused")
        assert {4, 5} <= set(await systems.store.chunks.fetch_unclosed_chunks("paused", -1, 10))
        await resume(client, "paused")
        states = {name: await until_final(systems, name) for name in BATCHES}
    assert states == {**dict.fromkeys(BATCHES, BatchState.CLOSED), "aborted": BatchState.ABORTED}
    audited = await require_clean(systems, len(BATCHES) * ORDER_COUNT)
    assert audited.held.order_count > 0  # of the aborted batch
    assert audited.duplicate_credits == audited.unbalanced_entries == 0


async def until_paused_in_temporal(client: Client) -> None:
    """Wait until the paused batch's workflow exists and has learnt that it is paused."""
    handle = client.get_workflow_handle_for(SettleBatchWorkflow.run, "paused")

    async def probe() -> bool:
        try:
            return (await handle.query(SettleBatchWorkflow.control)).is_paused
        except RPCError:
            return False

    await eventually(probe)
